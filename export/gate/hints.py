"""What to do about a metric that failed: the likely cause, the option that accepts it, and what that costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_CEILING, Context
from typing import Any

from camserve.export.gate.tolerances import HARD_LIMIT, NOISE_FACTOR

__all__ = ["failure_hint"]

_ROUNDING_METRICS = frozenset({"half_range", "top1_disagreement", "cam_distance"})
_TWO_DIGITS_UP = Context(prec=2, rounding=ROUND_CEILING)
_DIFFERENT = (
    "Look at custom layers and their behavior at inference where values are large: such a difference is not rounding. "
    "If only onnx fails, an operator differs in ONNX (Resizing, for example): try --formats savedmodel"
)
_ROUNDED = (
    "Look at custom layers and their behavior at inference: the export differs by more than the rounding of float32 in "
    "this network"
)
_AMPLIFIED = (
    "Look for layers that amplify the rounding of float32: Keras's own answers in float32 differ as much from those in "
    "float64, so that no file in float32 can reproduce them"
)
_COARSE = (
    "Choose fp32, or fp16 instead of int8: this precision is too coarse for the network. int8 improves with more "
    "calibration images of the kind that will be served"
)
_COSTS = {
    "logits": "every logit may differ by {percent} of the largest",
    "probabilities": "every probability may differ by {percent}",
    "cam": "every value of a map may differ by {percent} of the largest",
    "cam_identity": "a map may add up to another value than its logit, by {percent} of the largest logit or bias",
    "top1_disagreement": "about {percent} of the images may get another best class than in Keras",
    "cam_distance": "the mean cosine between a map and Keras's may be {cosine:.3g}",
    "lower_logits": "every logit may differ by {percent} of the largest",
    "lower_probabilities": "every probability may differ by {percent}",
}

Row = Mapping[str, Any]


def failure_hint(rows: Sequence[Row], *, advice: str | None = None) -> str:
    """Return what to do about the metrics that failed.

    Args:
        rows: All metrics, as they are stored in `report.json`.
        advice: What to do if a lower precision is too coarse; None for the general advice.
    """
    failed = [row for row in rows if not row["passed"]]
    if all(_meets_the_default(row) for row in failed):
        options = dict.fromkeys(f"--bound {row['option']}={row['bound']:g}" for row in failed)
        return f"Remove {' '.join(options)}, which is smaller than the default: the export is within that"
    lower = {row["format"] for row in rows if row["figure"] in _ROUNDING_METRICS}
    coarse = any(row["format"] in lower for row in failed)
    is_rounding = all(_could_be_accepted(row, lower) for row in failed)
    amplified = any((row["value"] or 0.0) > HARD_LIMIT for row in failed)
    too_coarse = _COARSE if advice is None else advice
    cause = too_coarse if coarse else _DIFFERENT if not is_rounding else _AMPLIFIED if amplified else _ROUNDED
    if not is_rounding:
        return cause
    return f"{cause}. To accept it all the same, pass {' '.join(_options(failed))}: {'; '.join(_costs(failed))}"


def _meets_the_default(row: Row) -> bool:
    return row["default"] is not None and row["value"] is not None and row["value"] <= row["default"]


def _could_be_accepted(row: Row, lower: Iterable[str]) -> bool:
    """Return whether an option accepts the value, and the value may be rounding."""
    if row["option"] is None or row["value"] is None:
        return False
    return row["format"] in lower or row["value"] <= max(HARD_LIMIT, NOISE_FACTOR * (row["noise"] or 0.0))


def _options(failed: Iterable[Row]) -> list[str]:
    return [f"--bound {option}={value:g}" for option, value in _needed(failed).items()]


def _costs(failed: Iterable[Row]) -> list[str]:
    return [
        _COSTS[option].format(percent=f"{100 * value:.2g} %", cosine=1 - value)
        for option, value in _needed(failed).items()
        if option in _COSTS
    ]


def _needed(failed: Iterable[Row]) -> dict[str, float]:
    """Return the tolerance with which the failed metrics of each option would pass."""
    needed: dict[str, float] = {}
    for row in failed:
        needed[row["option"]] = max(needed.get(row["option"], 0.0), _rounded_up(row["value"]))
    return needed


def _rounded_up(value: float) -> float:
    """Return the value rounded up to two significant digits."""
    return float(_TWO_DIGITS_UP.create_decimal(repr(value)))
