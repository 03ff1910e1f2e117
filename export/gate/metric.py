"""The metrics of the parity gate, and its decision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from camserve.errors import ParityError
from camserve.export.gate.hints import failure_hint
from camserve.export.gate.tolerances import Limit
from camserve.shares import images_to_settle, wilson_interval

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
    "cam_undetermined",
    "end_to_end",
    "end_to_end_class",
    "half_range",
    "reading",
    "unfolded",
]


@dataclass(frozen=True)
class Metric:
    """A measured value with its tolerance.

    Attributes:
        format: `onnx`, `openvino` (the ONNX file in bf16) or `savedmodel`; `network` for the Keras network that they
            are converted from.
        name: What was measured.
        batch: Number of images; 0 where that does not apply.
        value: The measured value.
        tolerance: The largest value that passes; None for a metric that is reported only.
        default: The tolerance that applies without options; None if the metric has no option.
        option: The field of `Tolerances` that changes the tolerance; None if there is none.
        noise: The value of the metric for Keras's own float32 answers; None if it does not apply.
        interval: Of a share of the images, the 95 % interval; None for other metrics.
        settled_by: The number of images with which the interval would no longer contain the tolerance, if the share
            stayed the same; None if it does not contain it, or would for any number.
    """

    format: str
    name: MetricName
    batch: int
    value: float
    tolerance: float | None
    default: float | None = None
    option: str | None = None
    noise: float | None = None
    interval: tuple[float, float] | None = None
    settled_by: int | None = None

    @classmethod
    def limited(cls, format_name: str, name: MetricName, batch: int, value: float, limit: Limit) -> Metric:
        """Return a metric whose tolerance can be changed."""
        return cls(format_name, name, batch, value, limit.value, limit.default, limit.option, limit.noise)

    @classmethod
    def share(cls, format_name: str, name: MetricName, found: int, images: int, limit: Limit) -> Metric:
        """Return a share of the images, which fails if it is above its tolerance with a confidence of 95 %.

        Args:
            format_name: What was measured.
            name: The name of the metric.
            found: Number of images that count.
            images: Number of images.
            limit: The largest share.
        """
        return cls(
            format_name,
            name,
            images,
            found / images,
            limit.value,
            limit.default,
            limit.option,
            interval=wilson_interval(found, images),
            settled_by=images_to_settle(found, images, limit.value),
        )

    @property
    def passed(self) -> bool:
        """Whether the value is within the tolerance, or finite where there is none; NaN never passes.

        A share passes if the lower end of its interval is within the tolerance.
        """
        value = self.value if self.interval is None else self.interval[0]
        return math.isfinite(value) if self.tolerance is None else bool(value <= self.tolerance)

    def as_document(self) -> dict[str, Any]:
        """Return the metric as it is stored in `report.json`; values that JSON cannot represent are None."""
        return {
            "format": self.format,
            "figure": self.name,
            "batch": self.batch,
            "value": _finite(self.value),
            "noise": _finite(self.noise),
            "bound": self.tolerance,
            "default": self.default,
            "option": self.option,
            "interval": None if self.interval is None else list(self.interval),
            "settled_by": self.settled_by,
            "passed": bool(self.passed),
        }


def require_parity(
    metrics: Sequence[Metric], obstacle: str | None = None, *, tried: str | None = None, advice: str | None = None
) -> None:
    """Raise an error unless every metric passes.

    Args:
        metrics: The metrics.
        obstacle: Why the network could not be evaluated in float64; None if it was.
        tried: What was tried in vain to meet the tolerances; None if nothing was.
        advice: What to do if a lower precision is too coarse; None for the general advice.

    Raises:
        ParityError: If a metric exceeds its tolerance; the message lists each.
    """
    failed = [metric for metric in metrics if not metric.passed]
    if failed:
        reference = "" if obstacle is None else f"; the reference was Keras itself instead of float64: {obstacle}"
        raise ParityError(
            f"the export differs from Keras and was discarded: {'; '.join(map(_failure, failed))}{reference}"
            + ("" if tried is None else f"; {tried}"),
            hint=failure_hint([metric.as_document() for metric in metrics], advice=advice),
        )


def _failure(metric: Metric) -> str:
    batch = f", batch {metric.batch}" if metric.batch else ""
    limit = "" if metric.tolerance is None else f" > {metric.tolerance:.3g}"
    interval = "" if metric.interval is None else " (95 % interval {:.3g} to {:.3g})".format(*metric.interval)
    noise = "" if metric.noise is None else f" (Keras fp32: {metric.noise:.2g})"
    return f"{metric.name} of {metric.format}{batch}: {metric.value:.3g}{limit}{noise}{interval}"


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
