"""Widened tolerances and the rounding of Keras, from a report."""

from __future__ import annotations

from typing import Any

import pytest

from camserve.parity_report import WidenedTolerance, is_widened, largest_noise, widened_tolerances

ROW: dict[str, Any] = {"format": "onnx", "figure": "logits", "value": 3e-4, "bound": 1e-3, "default": 1e-4}


def test_each_metric_is_returned_once_with_its_largest_value() -> None:
    rows = [ROW, {**ROW, "value": 4e-4}, {**ROW, "value": 1e-6}, {**ROW, "format": "savedmodel"}]
    assert widened_tolerances(rows) == (
        WidenedTolerance("onnx", "logits", 4e-4, 1e-3, 1e-4),
        WidenedTolerance("savedmodel", "logits", 3e-4, 1e-3, 1e-4),
    )


@pytest.mark.parametrize("change", [{"bound": 1e-4}, {"bound": 1e-5}, {"default": None}, {"bound": None}])
def test_default_or_smaller_tolerance_is_not_widened(change: dict[str, Any]) -> None:
    assert not is_widened({**ROW, **change})
    assert widened_tolerances([{**ROW, **change}]) == ()


@pytest.mark.parametrize("damaged", [None, "text", 3, [None, "text", {}], {"parity": []}])
def test_damaged_report_has_none(damaged: Any) -> None:
    assert widened_tolerances(damaged) == ()
    assert largest_noise(damaged) == 0


def test_largest_noise_is_that_of_all_metrics() -> None:
    assert largest_noise([ROW, {**ROW, "noise": None}, {**ROW, "noise": 2e-4}, {**ROW, "noise": 1e-5}]) == 2e-4


def test_text_tells_whether_the_value_is_above_the_default() -> None:
    above, below = (next(iter(widened_tolerances([{**ROW, "value": value}]))) for value in (3e-4, 5e-5))
    assert str(above).endswith("(onnx) was widened from 0.0001 to 0.001; the value is 0.0003, which is above 0.0001")
    assert str(below).endswith("(onnx) was widened from 0.0001 to 0.001; the value is 5e-05")
