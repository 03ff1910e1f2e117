"""Requests joined into a batch, and its answer split among them."""

import numpy as np
import numpy.typing as npt
import pytest

from camserve.serving.backends.camserve_backend.batches import Joiner, split


def _rows(count: int, seed: int, *, width: int = 5) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).random((count, width), dtype=np.float32)


@pytest.mark.parametrize("counts", [[1], [1, 1], [3, 1, 4], [8, 2], [1, 7, 1, 7]])
def test_splitting_undoes_joining(counts: list[int]) -> None:
    parts = [_rows(count, seed) for seed, count in enumerate(counts)]
    for part, again in zip(parts, split(Joiner().join(parts), counts), strict=True):
        np.testing.assert_array_equal(part, again)


def test_a_single_request_is_not_copied() -> None:
    part = _rows(4, 0)
    assert Joiner().join([part]) is part


def test_memory_is_kept_for_batches_that_fit_and_made_anew_for_others() -> None:
    joiner = Joiner()
    first = joiner.join([_rows(2, 0), _rows(2, 1)])
    assert np.shares_memory(first, joiner.join([_rows(1, 2), _rows(1, 3)]))
    larger = joiner.join([_rows(4, 4), _rows(4, 5)])
    assert not np.shares_memory(first, larger)
    assert joiner.join([_rows(1, 0, width=3)] * 2).shape == (2, 3)
    assert joiner.join([_rows(1, 0).astype(np.uint8)] * 2).dtype == np.uint8


def test_requests_that_differ_are_not_joined() -> None:
    with pytest.raises(ValueError, match="differ in type"):
        Joiner().join([_rows(1, 0), _rows(1, 0).astype(np.float64)])
    with pytest.raises(ValueError):
        Joiner().join([_rows(1, 0), _rows(1, 0, width=4)])


@pytest.mark.parametrize("rows", [3, 5])
def test_an_output_without_a_row_for_each_image_is_refused(rows: int) -> None:
    with pytest.raises(ValueError, match="for a batch of 4"):
        split(_rows(rows, 0), [3, 1])
