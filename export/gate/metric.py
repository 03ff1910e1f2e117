"""The metrics of the parity gate, and its decision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from camserve.errors import ParityError

__all__ = ["Metric", "MetricName", "require_parity"]

MetricName = Literal[
    "logits",
    "probabilities",
    "top1",
    "top1_disagreement",
    "cam",
    "cam_class",
    "cam_distance",
    "cam_identity",
    "end_to_end",
    "end_to_end_class",
    "half_range",
    "reading",
    "unfolded",
]
_ROUNDING_METRICS = frozenset({"half_range", "top1_disagreement", "cam_distance"})
_HINT = (
    "Look at custom layers and their behavior at inference where values are large; values close to their tolerances "
    "mean that the network amplifies float32 rounding. If only onnx fails, an operator differs in ONNX (Resizing, for "
    "example): try --formats savedmodel"
)
_ROUNDING_HINT = (
    "Choose fp32, or fp16 instead of int8: this precision is too coarse for the network. int8 improves with more "
    "calibration images of the kind that will be served"
)


@dataclass(frozen=True)
class Metric:
    """A measured value with its tolerance.

    Attributes:
        format: `onnx` or `savedmodel`; `network` for the Keras network that both are converted from.
        name: What was measured.
        batch: Number of images; 0 where that does not apply.
        value: The measured value.
        tolerance: The largest value that passes; None for a metric that is reported only.
    """

    format: str
    name: MetricName
    batch: int
    value: float
    tolerance: float | None

    @property
    def passed(self) -> bool:
        """Whether the value is within the tolerance, or finite where there is none; NaN never passes."""
        return math.isfinite(self.value) if self.tolerance is None else bool(self.value <= self.tolerance)

    def as_document(self) -> dict[str, Any]:
        """Return the metric as it is stored in `report.json`; values that JSON cannot represent are None."""
        value = float(self.value)
        return {
            "format": self.format,
            "figure": self.name,
            "batch": self.batch,
            "value": value if math.isfinite(value) else None,
            "bound": self.tolerance,
            "passed": bool(self.passed),
        }


def require_parity(metrics: Sequence[Metric]) -> None:
    """Raise an error unless every metric passes.

    Raises:
        ParityError: If a metric exceeds its tolerance; the message lists each.
    """
    failed = [metric for metric in metrics if not metric.passed]
    if not failed:
        return
    rounded_formats = {metric.format for metric in metrics if metric.name in _ROUNDING_METRICS}
    raise ParityError(
        f"the export differs from Keras and was discarded: {'; '.join(map(_failure, failed))}",
        hint=_ROUNDING_HINT if any(metric.format in rounded_formats for metric in failed) else _HINT,
    )


def _failure(metric: Metric) -> str:
    batch = f", batch {metric.batch}" if metric.batch else ""
    limit = "" if metric.tolerance is None else f" > {metric.tolerance:.3g}"
    return f"{metric.name} of {metric.format}{batch}: {metric.value:.3g}{limit}"
