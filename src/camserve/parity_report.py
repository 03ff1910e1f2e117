"""What the parity metrics in `report.json` tell: widened tolerances, and the rounding of Keras's own answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["WidenedTolerance", "is_widened", "largest_noise", "widened_tolerances"]


@dataclass(frozen=True)
class WidenedTolerance:
    """A metric whose tolerance was widened at export.

    Attributes:
        format: `onnx` or `savedmodel`; `network` for the Keras network that both are converted from.
        figure: Name of the metric.
        value: Its largest value.
        tolerance: The tolerance that was applied.
        default: The tolerance of an export without options.
    """

    format: str
    figure: str
    value: float
    tolerance: float
    default: float

    def __str__(self) -> str:
        """Return what was widened, and whether the value is above the default."""
        above = f", which is above {self.default:g}" if self.value > self.default else ""
        return (
            f"the tolerance of {self.figure} ({self.format}) was widened from {self.default:g} to {self.tolerance:g}; "
            f"the value is {self.value:.3g}{above}"
        )


def is_widened(metric: Any) -> bool:
    """Return whether a metric of `report.json` has a larger tolerance than by default."""
    if not isinstance(metric, dict):
        return False
    tolerance, default = metric.get("bound"), metric.get("default")
    return isinstance(tolerance, int | float) and isinstance(default, int | float) and tolerance > default


def widened_tolerances(metrics: Any) -> tuple[WidenedTolerance, ...]:
    """Return the metrics with a widened tolerance, each once, with its largest value.

    Args:
        metrics: The metrics of `report.json`, whatever they are in a damaged one.
    """
    worst: dict[tuple[str, str], WidenedTolerance] = {}
    for widened in _widened(metrics):
        key = (widened.format, widened.figure)
        if key not in worst or widened.value > worst[key].value:
            worst[key] = widened
    return tuple(worst.values())


def largest_noise(metrics: Any) -> float:
    """Return the largest distance of Keras's own float32 answers from those in float64; 0 if it was not measured.

    Args:
        metrics: The metrics of `report.json`, whatever they are in a damaged one.
    """
    rows = [metric for metric in metrics if isinstance(metric, dict)] if isinstance(metrics, list) else []
    return max((float(noise) for row in rows if isinstance(noise := row.get("noise"), int | float)), default=0.0)


def _widened(metrics: Any) -> Iterator[WidenedTolerance]:
    for metric in metrics if isinstance(metrics, list) else ():
        if is_widened(metric):
            value = metric.get("value")
            yield WidenedTolerance(
                str(metric.get("format")),
                str(metric.get("figure")),
                float(value) if isinstance(value, int | float) else float("inf"),
                float(metric["bound"]),
                float(metric["default"]),
            )
