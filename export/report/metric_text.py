"""The figures of the gate in words: what each is called, how its value is written, how far it is from its bound."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping
from typing import Any, NamedTuple

__all__ = [
    "Row",
    "bound_of",
    "closest",
    "comparison",
    "format_title",
    "images",
    "is_judged",
    "meaning_of",
    "missed",
    "place_of",
    "ratio_of",
    "room",
    "rounding_formats",
    "title_of",
    "value_of",
    "where",
    "worst_of",
]

Row = Mapping[str, Any]
"""A figure as it stands in `report.json`: format, figure, batch, value (None: not a number), bound, passed."""


class _Words(NamedTuple):
    title: str
    unit: str
    meaning: str


_FIGURES = {
    "unfolded": _Words("BatchNorm left", "count", "BatchNorm layers that could have been folded and were not"),
    "reading": _Words("Network as read", "ratio", "largest difference of an answer from the model itself"),
    "top1": _Words("Best class", "count", "images with another best class than Keras, where Keras tells the two apart"),
    "top1_disagreement": _Words("Other best class", "share", "share of images with another best class than Keras's"),
    "logits": _Words("Logits", "ratio", "largest difference from Keras, relative to its largest |logit|"),
    "probabilities": _Words(
        "Probabilities",
        "ratio",
        "largest difference from Keras; of logits that stand in for them, relative to its largest |logit|",
    ),
    "cam_distance": _Words("Map distance", "ratio", "1 − mean cosine of a map and Keras's map of the same class"),
    "cam": _Words("Maps", "ratio", "largest difference, relative to the largest |value| of Keras's maps"),
    "cam_class": _Words(
        "Classes of maps",
        "count",
        "maps of another class than Keras ranks there, where it tells the two apart, or of one class twice",
    ),
    "cam_identity": _Words(
        "Map sums to logit",
        "ratio",
        "largest difference of the export's own logit and what its map and bias add up to, relative to Keras's largest",
    ),
    "half_range": _Words("Largest activation", "amount", "half precision holds numbers up to 65,504 and no larger"),
}
_OWN_CLASSES = "maps of another class than the export's own logits rank there, or of one class twice"
_ROUNDS = frozenset({"top1_disagreement", "cam_distance"})  # which only a lower precision is measured by
_LARGEST_RATIO = 1000
_FORMATS = {"network": "network", "onnx": "ONNX Runtime", "savedmodel": "SavedModel"}


def is_judged(figure: Row) -> bool:
    """Whether the figure decides: it has a bound, or is not a number, which no figure may be."""
    return figure["bound"] is not None or figure["value"] is None


def missed(figures: Iterable[Row]) -> list[str]:
    """A sentence for each figure beyond its bound."""
    return [
        f"{title_of(figure)}, {where(figure)}: {comparison(figure)}, {room(figure)}"
        for figure in figures
        if is_judged(figure) and not figure["passed"]
    ]


def worst_of(batches: Iterable[Row]) -> Row:
    """The figure of the batch that has the largest value."""
    return max(batches, key=lambda figure: math.inf if figure["value"] is None else figure["value"])


def closest(figures: Iterable[Row]) -> Row | None:
    """The figure nearest to its bound, or farthest beyond it; None if all are 0 or have none."""
    ratios = [(ratio_of(figure), index, figure) for index, figure in enumerate(figures) if is_judged(figure)]
    measured = [entry for entry in ratios if entry[0] > 0]
    return max(measured, key=lambda entry: (entry[0], -entry[1]))[2] if measured else None


def title_of(figure: Row) -> str:
    """What the figure is called on the page."""
    return _words(figure).title


def place_of(figure: Row) -> int:
    """The place of the figure among the others: of the network, of the answers, of the maps."""
    return list(_FIGURES).index(figure["figure"]) if figure["figure"] in _FIGURES else len(_FIGURES)


def rounding_formats(figures: Iterable[Row]) -> frozenset[str]:
    """The formats that are in a lower precision, where classes of maps are held to the export's own logits."""
    return frozenset(figure["format"] for figure in figures if figure["figure"] in _ROUNDS)


def meaning_of(figure: Row, rounding: Container[str] = ()) -> str:
    """What was measured, given the formats that are in a lower precision."""
    if figure["figure"] == "cam_class" and figure["format"] in rounding:
        return _OWN_CLASSES
    return _words(figure).meaning


def where(figure: Row) -> str:
    """Which format the figure was measured on, and on how many images at once."""
    return ", ".join((format_title(figure["format"]), *([images(figure["batch"])] if figure["batch"] else [])))


def images(count: int) -> str:
    """So many images."""
    return "1 image" if count == 1 else f"{count:,} images"


def room(figure: Row) -> str:
    """How far the figure stays below its bound, or goes beyond it."""
    value, ratio = figure["value"], ratio_of(figure)
    if value is None:
        return "not a number"
    if not is_judged(figure):
        return "told, not judged"
    if value <= 0:
        return "none" if _words(figure).unit in ("count", "share") else "exact"
    if ratio == math.inf:
        return "must be 0"
    return f"{_times(figure['bound'] / value)} below" if figure["passed"] else f"{_times(ratio)} the bound"


def comparison(figure: Row) -> str:
    """The value beside its bound."""
    value, bound = value_of(figure), bound_of(figure)
    if figure["bound"] is None or not (figure["bound"] or figure["value"] != 0):
        return value
    if figure["value"] is None:
        return f"{value}, bound {bound}"
    return f"{value} {'≤' if figure['passed'] else '>'} {bound}"


def _words(figure: Row) -> _Words:
    name = figure["figure"]
    return _FIGURES.get(name, _Words(name.replace("_", " "), "ratio", ""))


def format_title(name: str) -> str:
    """What the format is called on the page."""
    return _FORMATS.get(name, name)


def ratio_of(figure: Row) -> float:
    """The value as a part of its bound; infinite where it is not a number, or the bound is 0 and it is not."""
    value, bound = figure["value"], figure["bound"]
    if value is None:
        return math.inf
    if value <= 0 or bound is None:
        return 0.0
    return float(value / bound) if bound else math.inf


def value_of(figure: Row) -> str:
    """The value as it is written."""
    return "NaN" if figure["value"] is None else _written(figure["value"], _words(figure).unit)


def bound_of(figure: Row) -> str:
    """The bound as it is written; a dash where there is none."""
    return "–" if figure["bound"] is None else _written(figure["bound"], _words(figure).unit)


def _written(value: float, unit: str) -> str:
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


def _times(ratio: float) -> str:
    """Two digits that count; beyond a thousand, none does."""
    rounded = float(f"{ratio:.1e}")
    if rounded < 10:
        return f"{ratio:.1f}×"
    return f"> {_LARGEST_RATIO:,}×" if rounded > _LARGEST_RATIO else f"{rounded:,.0f}×"
