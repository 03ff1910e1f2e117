"""The metrics of the gate as text: titles, values and margins."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping
from typing import Any, NamedTuple

from camserve.parity_report import is_widened
from camserve.text import count

__all__ = [
    "Row",
    "closest",
    "compare",
    "default_text",
    "describe",
    "failures",
    "format_title",
    "is_judged",
    "margin",
    "measured_where",
    "noise_text",
    "ratio",
    "remarks",
    "rounding_formats",
    "sort_key",
    "title",
    "tolerance_text",
    "value_text",
    "worst_batch",
]

Row = Mapping[str, Any]
"""A metric as it is stored in `report.json`: format, figure (its name), batch, value (None: NaN), noise, bound,
default, option, interval, settled_by, passed. Reports of earlier versions lack some."""


class _Text(NamedTuple):
    title: str
    unit: str
    meaning: str


_METRICS = {
    "unfolded": _Text("Unfolded BatchNorm", "count", "BatchNorm layers that could have been folded and were not"),
    "reading": _Text(
        "Traced network", "ratio", "largest difference between the traced network and the model when it is called"
    ),
    "top1": _Text(
        "Top-1 class", "count", "images whose best class differs from Keras's, where Keras separates the two"
    ),
    "top1_disagreement": _Text("Top-1 disagreement", "share", "share of images whose best class differs from Keras's"),
    "end_to_end": _Text(
        "Expected answers",
        "ratio",
        "largest difference from the expected answers to image files, decoded, resized and preprocessed as by clients",
    ),
    "end_to_end_class": _Text(
        "Expected classes", "share", "share of the image files whose best class is not the expected one"
    ),
    "logits": _Text("Logits", "ratio", "largest difference from the network, relative to its largest |logit|"),
    "probabilities": _Text(
        "Probabilities",
        "ratio",
        "largest difference from Keras; without an activation, relative to its largest |logit|",
    ),
    "cam_distance": _Text("Map distance", "ratio", "1 − mean cosine between a map and Keras's map of the same class"),
    "cam": _Text("Map values", "ratio", "largest difference, relative to the largest |value| of Keras's maps"),
    "cam_class": _Text(
        "Map classes",
        "count",
        "maps whose class differs from Keras's class of that rank, where Keras separates the two, or is repeated",
    ),
    "cam_identity": _Text(
        "Map identity",
        "ratio",
        "largest difference between the export's logit and its map, averaged over the pooled cells, or summed if the "
        "head is not linear, plus bias; "
        "relative to the largest |logit| of Keras or |bias|",
    ),
    "cam_undetermined": _Text(
        "Undetermined maps",
        "share",
        "share of images so near to a jump of the derivative (equal maxima, the zero of a ReLU) that float32 does not "
        "determine their maps, which are not compared",
    ),
    "half_range": _Text("Largest activation", "amount", "half precision represents values up to 65,504"),
}
_OWN_CLASSES = "maps whose class differs from the export's own class of that rank, or is repeated"
_LOWER_PRECISION_METRICS = frozenset({"top1_disagreement", "cam_distance"})
_LARGEST_RATIO = 1000
_FORMATS = {"network": "network", "onnx": "ONNX Runtime", "openvino": "OpenVINO bf16", "savedmodel": "SavedModel"}


def is_judged(row: Row) -> bool:
    """Return whether the metric can fail: it has a tolerance, or is NaN."""
    return row["bound"] is not None or row["value"] is None


def failures(rows: Iterable[Row]) -> list[str]:
    """Return a line for each metric that exceeds its tolerance."""
    failed = [row for row in rows if is_judged(row) and not row["passed"]]
    return [f"{title(row)}, {measured_where(row)}: {compare(row)}, {margin(row)}" for row in failed]


def worst_batch(rows: Iterable[Row]) -> Row:
    """Return the row with the largest value."""
    return max(rows, key=lambda row: math.inf if row["value"] is None else row["value"])


def closest(rows: Iterable[Row]) -> Row | None:
    """Return the row closest to its tolerance, or farthest above it; None if all are 0 or have no tolerance."""
    ratios = [(ratio(row), -index, row) for index, row in enumerate(rows) if is_judged(row)]
    measured = [entry for entry in ratios if entry[0] > 0]
    return max(measured, key=lambda entry: entry[:2])[2] if measured else None


def title(row: Row) -> str:
    """Return the title of the metric."""
    return _text(row).title


def sort_key(row: Row) -> int:
    """Return the position of the metric: first those of the network, then of the scores, then of the maps."""
    return list(_METRICS).index(row["figure"]) if row["figure"] in _METRICS else len(_METRICS)


def rounding_formats(rows: Iterable[Row]) -> frozenset[str]:
    """Return the formats in a lower precision, in which classes of maps are compared with the export's own logits."""
    return frozenset(row["format"] for row in rows if row["figure"] in _LOWER_PRECISION_METRICS)


def describe(row: Row, rounding: Container[str] = ()) -> str:
    """Return what the metric measures.

    Args:
        row: The metric.
        rounding: The formats in a lower precision.
    """
    if row["figure"] == "cam_class" and row["format"] in rounding:
        return _OWN_CLASSES
    return _text(row).meaning


def measured_where(row: Row) -> str:
    """Return the format that was measured, and the number of images."""
    return ", ".join((format_title(row["format"]), *([count(row["batch"], "image")] if row["batch"] else [])))


def margin(row: Row) -> str:
    """Return how far the value is below or above its tolerance."""
    value, part = row["value"], ratio(row)
    if value is None:
        return "not a number"
    if not is_judged(row):
        return "not judged"
    if value <= 0:
        return "none" if _text(row).unit in ("count", "share") else "exact"
    if part == math.inf:
        return "must be 0"
    if row["passed"] and part > 1:
        return "not settled"
    return f"{_times(row['bound'] / value)} below" if row["passed"] else f"{_times(part)} the tolerance"


def compare(row: Row) -> str:
    """Return the value compared with its tolerance, such as `4e-06 ≤ 1e-04`."""
    value, limit = value_text(row), tolerance_text(row)
    if row["bound"] is None or not (row["bound"] or row["value"] != 0):
        return value
    if row["value"] is None or (row["passed"] and ratio(row) > 1):
        return f"{value}, tolerance {limit}"
    return f"{value} {'≤' if row['passed'] else '>'} {limit}"


def format_title(name: str) -> str:
    """Return the title of a format."""
    return _FORMATS.get(name, name)


def ratio(row: Row) -> float:
    """Return the value divided by its tolerance; infinite for NaN, and for a positive value whose tolerance is 0."""
    value, limit = row["value"], row["bound"]
    if value is None:
        return math.inf
    if value <= 0 or limit is None:
        return 0.0
    return float(value / limit) if limit else math.inf


def value_text(row: Row) -> str:
    """Return the value as text."""
    return "NaN" if row["value"] is None else _number(row["value"], _text(row).unit)


def tolerance_text(row: Row) -> str:
    """Return the tolerance as text; a dash where there is none."""
    return "–" if row["bound"] is None else _number(row["bound"], _text(row).unit)


def noise_text(row: Row) -> str:
    """Return the value of the metric for Keras's own float32 answers as text; a dash where it does not apply."""
    return "–" if row.get("noise") is None else _number(row["noise"], _text(row).unit)


def default_text(row: Row) -> str:
    """Return the tolerance of an export without options as text, if another one was applied."""
    default = row.get("default")
    return "" if default is None or default == row["bound"] else _number(default, _text(row).unit)


def remarks(row: Row) -> list[str]:
    """Return what else is known about the metric: its value for Keras, the interval of a share, the default."""
    found = []
    if row.get("noise") is not None:
        twice = row["bound"] is not None and math.isclose(row["bound"], 2 * row["noise"])
        found.append(f"Keras fp32: {noise_text(row)}{'; tolerance twice that' if twice else ''}")
    if row.get("interval") is not None:
        found.append(_interval_text(row))
    if default_text(row):
        found.append(f"{'widened from' if is_widened(row) else 'default'} {default_text(row)}")
    return found


def _interval_text(row: Row) -> str:
    low, high = (_number(float(f"{end:.2g}"), "share") for end in row["interval"])
    found = f"{round(row['value'] * row['batch'])} of {count(row['batch'], 'image')}"
    text = f"{found}: 95 % interval {low} to {high}"
    return text if row.get("settled_by") is None else f"{text}; {row['settled_by']:,} images would settle it"


def _text(row: Row) -> _Text:
    name = row["figure"]
    return _METRICS.get(name, _Text(name.replace("_", " "), "ratio", ""))


def _number(value: float, unit: str) -> str:
    match unit:
        case "share":
            return f"{100 * value:.3g} %"
        case "amount":
            return f"{value:,.0f}"
        case "count":
            return f"{value:,g}"
    if not value:
        return "0"
    return f"{value:.0e}" if float(f"{value:.0e}") == value else f"{value:.1e}"


def _times(factor: float) -> str:
    """Return a factor with two significant digits, or `> 1,000×`."""
    rounded = float(f"{factor:.1e}")
    if rounded < 10:
        return f"{factor:.1f}×"
    return f"> {_LARGEST_RATIO:,}×" if rounded > _LARGEST_RATIO else f"{rounded:,.0f}×"
