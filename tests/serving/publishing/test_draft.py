"""The draft of a version: the tolerance of its golden answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from camserve.bundle import Bundle
from camserve.serving.publishing.draft import Draft


@pytest.mark.parametrize(
    ("precision", "noise", "tolerance"),
    [
        ("fp32", None, 1e-4),
        ("fp32", 2e-5, 1e-4),
        ("fp32", 2e-4, 4e-4),
        ("fp32", 0.5, 1e-3),
        ("int8 (cpu)", 2e-4, 5e-2),
    ],
)
def test_tolerance_follows_the_rounding_of_keras(
    precision: str, noise: float | None, tolerance: float, toy_bundle: Bundle, tmp_path: Path
) -> None:
    source = replace(toy_bundle, report={"precision": precision, "parity": [{"noise": None}, {"noise": noise}]})
    draft = Draft(tmp_path / "toy", None, toy_bundle.contract, source, {}, "onnxruntime", allow_contract_change=False)
    assert draft.tolerance == pytest.approx(tolerance)


_WIDENED = [{"figure": "logits", "bound": 3e-3, "default": 1e-4, "value": 2e-3}]


@pytest.mark.parametrize(
    ("precision", "parity", "tolerance"), [("fp32", [], 2e-4), ("fp32", _WIDENED, 6e-3), ("int8 (cpu)", [], 0.25)]
)
def test_a_saved_model_may_differ_by_the_tolerances_of_both_files(
    precision: str, parity: list[dict[str, Any]], tolerance: float, toy_bundle: Bundle, tmp_path: Path
) -> None:
    source = replace(toy_bundle, report={"precision": precision, "parity": parity})
    draft = Draft(tmp_path / "toy", None, toy_bundle.contract, source, {}, "tensorflow", allow_contract_change=False)
    assert draft.tolerance == pytest.approx(tolerance)
