"""Batches and outputs checked against the contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.client_models import model_of

from camserve.clients.answers.batch_tensors import check_batch, join, select_outputs, split
from camserve.errors import ContractError, UsageError

Array = np.ndarray[Any, Any]

MODEL = model_of()
GOOD = np.zeros((2, 8, 8, 3), np.float32)
NAMES = ("probabilities", "cam_class")


def outputs() -> dict[str, Array]:
    return {"probabilities": np.zeros((2, 4), np.float32), "cam_class": np.zeros((2, 3), np.int32)}


def with_value(value: float) -> Array:
    batch = GOOD.copy()
    batch[1, 2, 3, 0] = value
    return batch


@pytest.mark.parametrize(
    ("batch", "why"),
    [
        (GOOD.astype(np.float64), "does not match the input"),
        (GOOD.astype(np.uint8), "does not match the input"),
        (GOOD.astype(">f4"), "does not match the input"),
        (GOOD[0], "does not match the input"),
        (GOOD.transpose(0, 3, 1, 2), "does not match the input"),
        (GOOD[:0], "does not match the input"),
        (np.zeros((), np.float32), "does not match the input"),
        (with_value(np.nan), "NaN or infinity"),
        (with_value(np.inf), "NaN or infinity"),
        (with_value(-np.inf), "NaN or infinity"),
    ],
)
def test_a_batch_that_does_not_match_the_input_is_refused(batch: Array, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        check_batch(batch, MODEL)
    assert caught.value.hint


def test_a_matching_batch_is_accepted() -> None:
    check_batch(GOOD, MODEL)
    check_batch(np.asfortranarray(GOOD), MODEL)
    check_batch(np.full_like(GOOD, 1e30), MODEL)  # the sum of squares overflows


@pytest.mark.parametrize("limit", [0, 1, 3, 8, 20])
@pytest.mark.parametrize("count", [1, 3, 8, 9, 17])
def test_the_parts_of_a_batch_join_to_the_whole(count: int, limit: int) -> None:
    batch = np.arange(count * 6).reshape(count, 6)
    parts = list(split(batch, limit))
    assert np.array_equal(np.concatenate(parts), batch)
    assert all(0 < len(part) <= (limit or count) for part in parts)
    joined = join([{"twice": part * 2, "first": part[:, 0]} for part in parts])
    assert np.array_equal(joined["twice"], batch * 2)
    assert np.array_equal(joined["first"], batch[:, 0])
    assert len(parts) == 1 or not any(array.flags.writeable for array in joined.values())


def test_outputs_are_accepted_in_any_order() -> None:
    for tensors in (outputs(), dict(reversed(outputs().items()))):
        assert list(select_outputs(tensors, NAMES, 2, MODEL)) == list(NAMES)


def test_outputs_have_the_names_of_the_contract() -> None:
    model = model_of(names={})
    renamed = select_outputs({"predictions": outputs()["probabilities"]}, ["probabilities"], 2, _renamed(model))
    assert list(renamed) == ["probabilities"]


def _renamed(model: Any) -> Any:
    from dataclasses import replace

    return replace(model, names={"probabilities": "predictions"})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"probabilities": None}, "no readable tensor as 'probabilities'"),
        ({"features": np.zeros((2, 6), np.float32)}, "'features', which was not requested"),
        (
            {"probabilities": np.zeros((2, 3), np.float32)},
            r"float32 \[2, 3\] as 'probabilities', expected FP32 \[2, 4\]",
        ),
        ({"probabilities": np.zeros((1, 4), np.float32)}, r"float32 \[1, 4\]"),
        ({"probabilities": np.zeros((2, 4), np.float64)}, "float64"),
        ({"cam_class": np.zeros((2, 3), np.int64)}, "int64"),
    ],
)
def test_outputs_that_do_not_match_the_contract_are_refused(change: dict[str, Array | None], why: str) -> None:
    tensors = {name: array for name, array in {**outputs(), **change}.items() if array is not None}
    with pytest.raises(ContractError, match=why) as caught:
        select_outputs(tensors, NAMES, 2, MODEL)
    assert caught.value.hint
