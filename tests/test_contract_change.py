"""Contract changes that break clients."""

from __future__ import annotations

from typing import Any

import pytest
from support.toy import toy_contract

from camserve.contract import PRESETS, ModelContract, TensorSpec
from camserve.contract_change import contract_breaks

CONTRACT = toy_contract(name="toy", size=(8, 8), channels=3, classes=4, preset="unit", top_k=3)
LABELS = ("a", "b", "c", "d")
OUTPUTS = CONTRACT.outputs


def _breaks(new: ModelContract, labels: tuple[str, ...] = LABELS) -> tuple[str, ...]:
    return contract_breaks(CONTRACT, new, known_labels=LABELS, new_labels=labels)


def _with(**changes: Any) -> ModelContract:
    return CONTRACT.model_copy(update=changes)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (_with(input=TensorSpec(name="picture", dtype="FP32", shape=(8, 8, 3))), "input changes"),
        (_with(input=TensorSpec(name="image", dtype="UINT8", shape=(8, 8, 3))), "input changes"),
        (_with(input=TensorSpec(name="image", dtype="FP32", shape=(9, 8, 3))), "input changes"),
        (_with(preprocessing=PRESETS["tf"]), "preprocessing changes"),
        (_with(activation="sigmoid"), "activation changes"),
        (_with(classes=5), "classes changes"),
        (_with(outputs=OUTPUTS[:-1]), "output cam_class is removed"),
        (
            _with(outputs=(*OUTPUTS[:-1], TensorSpec(name="cam_class", dtype="FP32", shape=(3,)))),
            "output cam_class changes",
        ),
    ],
)
def test_change_of_what_clients_rely_on_is_reported(new: ModelContract, message: str) -> None:
    assert _breaks(new) == (message,)


def test_added_output_and_other_order_are_compatible() -> None:
    more = TensorSpec(name="cam_all", dtype="FP32", shape=(4, 4, 4))
    assert _breaks(CONTRACT) == ()
    assert _breaks(_with(outputs=(more, *reversed(OUTPUTS)))) == ()


def test_maps_that_earlier_clients_do_not_know_are_reported() -> None:
    gradient = toy_contract(kind="gradient")
    assert _breaks(gradient) == ("contract version 1 becomes 2, which clients of earlier releases refuse",)
    assert contract_breaks(gradient, CONTRACT, known_labels=LABELS, new_labels=LABELS) == ()


def test_changed_labels_are_reported() -> None:
    assert _breaks(CONTRACT, ("a", "b", "x", "d")) == ("labels change: class 2 changes from 'c' to 'x'",)
    assert _breaks(CONTRACT, ("a", "b", "c")) == ("labels change: 4 become 3",)
    assert contract_breaks(CONTRACT, CONTRACT, known_labels=None, new_labels=LABELS) == ()
