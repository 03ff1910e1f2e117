"""Hints of the gate: the option that accepts a difference, and what it costs."""

from __future__ import annotations

import pytest

from camserve.errors import ParityError
from camserve.export.gate.metric import Metric, MetricName, require_parity
from camserve.export.gate.tolerances import Limit, Tolerances


def hint(*metrics: Metric) -> str:
    with pytest.raises(ParityError) as raised:
        require_parity(metrics)
    return str(raised.value.hint)


def fp32(name: MetricName, value: float) -> Metric:
    return Metric.limited("onnx", name, 8, value, Tolerances().limit(name))


def test_hint_names_the_option_and_its_cost() -> None:
    text = hint(fp32("logits", 2.31e-4), fp32("probabilities", 3e-5))
    assert "pass --bound logits=0.00024 --bound probabilities=3e-05: " in text
    assert "every logit may differ by 0.024 % of the largest; every probability may differ by 0.003 %" in text


def test_message_contains_the_rounding_of_keras() -> None:
    with pytest.raises(ParityError, match=r"logits of onnx, batch 8: 0\.003 > 0\.0008 \(Keras fp32: 0\.0004\)\."):
        require_parity([Metric.limited("onnx", "logits", 8, 3e-3, Tolerances().limit("logits", 4e-4))])


@pytest.mark.parametrize("value", [2.31e-4, 9.99e-4, 1.0001e-4, 3e-4])
def test_suggested_tolerance_accepts_the_value(value: float) -> None:
    option = hint(fp32("logits", value)).split("--bound logits=")[1].split(":")[0]
    assert value <= float(option) <= 1.1 * value


@pytest.mark.parametrize("value", [0.6, float("nan"), float("inf"), 1.1e-3])
def test_difference_that_is_not_rounding_is_not_offered(value: float) -> None:
    text = hint(fp32("logits", value))
    assert "--bound" not in text
    assert "is not rounding" in text


def test_rounding_above_the_hard_limit_is_named() -> None:
    def amplified(value: float) -> str:
        return hint(Metric.limited("onnx", "logits", 8, value, Tolerances().limit("logits", 0.3)))

    assert amplified(0.4).startswith("Look for layers that amplify the rounding of float32")
    assert "pass --bound logits=0.4: every logit may differ by 40 % of the largest" in amplified(0.4)
    assert "is not rounding" in amplified(0.7)


def test_count_that_must_be_zero_is_not_offered() -> None:
    assert "--bound" not in hint(fp32("logits", 2e-4), Metric("onnx", "top1", 8, 1, 0.0))


def test_share_names_the_images_that_may_differ() -> None:
    limit = Tolerances().limit("top1_disagreement")
    text = hint(Metric.share("onnx", "top1_disagreement", 13, 100, limit))
    assert text.startswith("Choose fp32, or fp16 instead of int8")
    assert "pass --bound top1_disagreement=0.13: about 13 % of the images may get another best class" in text


def test_lower_precision_names_its_own_option() -> None:
    lower = Metric.limited("onnx", "logits", 64, 0.3, Limit(0.25, 0.25, "lower_logits"))
    other = Metric.share("onnx", "top1_disagreement", 0, 64, Tolerances().limit("top1_disagreement"))
    assert "--bound lower_logits=0.3: every logit may differ by 30 % of the largest" in hint(lower, other)


def test_smaller_tolerance_than_needed_is_named() -> None:
    narrowed = Metric.limited("onnx", "logits", 8, 2e-6, Tolerances(logits=1e-9).limit("logits"))
    expected = "Remove --bound logits=1e-09, which is smaller than the default: the export is within that"
    assert hint(narrowed) == expected
    assert hint(narrowed, fp32("cam", 2e-4)).startswith("Look at custom layers")
