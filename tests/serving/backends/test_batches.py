"""Concatenation of requests and splitting of outputs."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from camserve.serving.backends.camserve_backend.batches import BatchJoiner, split

Array = npt.NDArray[Any]


def _rows(count: int, seed: int, *, width: int = 5) -> Array:
    return np.random.default_rng(seed).random((count, width), dtype=np.float32)


def _join(joiner: BatchJoiner, *parts: Array) -> Array:
    joined: Array = joiner.join([{"image": part} for part in parts])["image"]
    return joined


@pytest.mark.parametrize("counts", [[1], [1, 1], [3, 1, 4], [8, 2], [1, 7, 1, 7]])
def test_splitting_reverses_joining(counts: list[int]) -> None:
    parts = [_rows(count, seed) for seed, count in enumerate(counts)]
    for part, result in zip(parts, split(_join(BatchJoiner(), *parts), counts), strict=True):
        np.testing.assert_array_equal(part, result)


def test_each_input_is_joined() -> None:
    parts = [{"left": _rows(2, 0), "right": _rows(2, 1, width=3)}, {"left": _rows(1, 2), "right": _rows(1, 3, width=3)}]
    joined = BatchJoiner().join(parts)
    for name in ("left", "right"):
        np.testing.assert_array_equal(joined[name], np.concatenate([part[name] for part in parts]))


def test_a_single_request_is_not_copied() -> None:
    part = _rows(4, 0)
    assert _join(BatchJoiner(), part) is part


def test_memory_is_reused_for_batches_that_fit() -> None:
    joiner = BatchJoiner()
    first = _join(joiner, _rows(2, 0), _rows(2, 1))
    assert np.shares_memory(first, _join(joiner, _rows(1, 2), _rows(1, 3)))
    larger = _join(joiner, _rows(4, 4), _rows(4, 5))
    assert not np.shares_memory(first, larger)
    assert _join(joiner, *[_rows(1, 0, width=3)] * 2).shape == (2, 3)
    assert _join(joiner, *[_rows(1, 0).astype(np.uint8)] * 2).dtype == np.uint8


def test_requests_that_differ_are_not_joined() -> None:
    with pytest.raises(ValueError, match="differ in dtype"):
        _join(BatchJoiner(), _rows(1, 0), _rows(1, 0).astype(np.float64))
    with pytest.raises(ValueError):
        _join(BatchJoiner(), _rows(1, 0), _rows(1, 0, width=4))


@pytest.mark.parametrize("rows", [3, 5])
def test_an_output_with_another_number_of_rows_is_refused(rows: int) -> None:
    with pytest.raises(ValueError, match="for a batch of 4"):
        split(_rows(rows, 0), [3, 1])
