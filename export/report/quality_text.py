"""How good the maps are, in words: for the command line, the page and its warnings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from camserve.text import count

__all__ = [
    "NOT_MEASURED",
    "QUALITY_COLUMNS",
    "area_text",
    "chance_text",
    "curve_images",
    "gain_text",
    "pointing_text",
    "quality_notes",
    "quality_rows",
    "quality_warnings",
    "source_title",
    "weights_text",
]

Document = Mapping[str, Any]

NOT_MEASURED = (
    "Not measured: parity says that the export has the maps of the model, not that these are good. Pass --map-quality "
    "with --calibration DIR, or --boxes FILE"
)
QUALITY_COLUMNS = ("map", "deletion", "insertion", "random maps", "pointing game", "by chance")
"""The columns of the table of maps."""

_UNCHANGED = 0.75  # rank correlation of maps with those of shuffled weights, each time that they are shuffled
_KINDS = {
    "calibration": ("calibration image", ""),
    "held out": ("calibration image", " that int8 was not calibrated with"),
    "boxes": ("image", " with boxes"),
}
_WEIGHTS = {"head": "of the head", "last half": "also of the last half of the other layers", "all": "of all layers"}


def quality_rows(report: Document) -> list[tuple[str, ...]]:
    """Return a row for Keras's maps and one for those of the export, in the columns of `QUALITY_COLUMNS`.

    Args:
        report: The value of `report.json`, in which the maps were measured.
    """
    quality = report["map_quality"]
    rows: list[tuple[str, ...]] = []
    for source in ("keras", "export"):
        deletion, insertion = (area_text(row) for row in _areas(quality, source))
        pointing = pointing_text(quality["pointing"], source), chance_text(quality["pointing"])
        random = f"{_areas(quality, source)[0]['random']:.3f}"
        rows.append((source_title(source, report), deletion, insertion, random, *pointing))
    return rows


def quality_warnings(quality: Document | None) -> list[str]:
    """Return a warning for maps that were not found to be better than random ones, or hardly depend on the weights."""
    if quality is None:
        return []
    return [*_curve_warnings(quality), *_weights_warnings(quality), *_chance_warnings(quality)]


def quality_notes(quality: Document | None) -> list[str]:
    """Return what the measurements left out."""
    if quality is None:
        return []
    kept, pointing = quality["kept_weights"], quality["pointing"]
    notes = []
    if kept:
        layers = count(len(kept), "layer")
        notes.append(f"maps of shuffled weights: {layers} of tf_keras kept the own weights (first: {kept[0]})")
    parts = [
        ("without_map", ("class of an image", "classes of images"), "that are not among the best, which have maps"),
        ("outside", ("box", "boxes"), "outside the part of the image that the network receives"),
        ("unread", ("image", "images"), f"with boxes: {quality['images']} are read, evenly spaced"),
    ]
    for name, nouns, why in parts:
        if pointing is not None and pointing[name]:
            notes.append(f"left out of the pointing game: {count(pointing[name], *nouns)} {why}")
    return notes


def source_title(source: str, report: Document) -> str:
    """Return whose maps these are: `Keras`, or the precision of the export."""
    return "Keras" if source == "keras" else str(report["precision"])


def curve_images(quality: Document) -> str:
    """Return the images that the curves were measured on."""
    measured, images = quality["curves"]["images"], quality["images"]
    noun, rest = _KINDS[quality["measured_on"]]
    return f"{'' if measured == images else f'{measured} of '}{count(images, noun)}{rest}"


def gain_text(row: Document) -> str:
    """Return how the area under a curve compares with that of random maps."""
    gain = f"{abs(row['gain']):.3f} {'better' if row['gain'] >= 0 else 'worse'} than random maps"
    if row["interval"] is None:
        return f"{gain}; one image tells no more"
    low, high = row["interval"]
    settled = "; not settled" if row["verdict"] == "not settled" else ""
    return f"{gain}, 95 % interval {low:.3f} to {high:.3f}{settled}"


def area_text(row: Document) -> str:
    """Return the area under a curve, and whether it is better than that of random maps."""
    return f"{row['area']:.3f} {row['verdict']}"


def pointing_text(pointing: Document | None, source: str) -> str:
    """Return how often the maximum of a map is on an object."""
    found = next((row for row in pointing["hits"] if row["map"] == source), None) if pointing else None
    if found is None or pointing is None:
        return "–"
    low, high = (100 * share for share in found["interval"])
    return f"{found['hits']} of {pointing['played']} ({low:.0f} to {high:.0f} %)"


def chance_text(pointing: Document | None) -> str:
    """Return how often the maximum of a random map would be on an object."""
    return f"{100 * pointing['chance']:.0f} %" if pointing and pointing["chance"] is not None else "–"


def weights_text(quality: Document) -> str:
    """Return how much alike the maps are with the weights of the model and with shuffled ones."""
    if not quality["other_weights"]:
        return "no weights of the network can be shuffled"
    parts = []
    for row in quality["other_weights"]:
        weights = _WEIGHTS.get(row["weights"], row["weights"])
        if row["weights"] == "all" and quality["kept_weights"]:
            weights += " but those of tf_keras"
        found = "not comparable" if row["rank_correlation"] is None else f"{row['rank_correlation']:.2f}"
        compared, pairs = row["compared"], row["pairs"]
        rest = "" if compared == pairs else f"; {pairs - compared} of {pairs} maps constant or not finite"
        parts.append(f"{found} ({weights}: {row['layers']}{rest})")
    return f"rank correlation with the maps of shuffled weights: {'; '.join(parts)}"


def _areas(quality: Document, source: str) -> list[Document]:
    return [row for row in quality["curves"]["areas"] if row["map"] == source]


def _curve_warnings(quality: Document) -> list[str]:
    rows = _areas(quality, "export")
    if any(row["verdict"] == "better" for row in rows) and not any(row["verdict"] == "worse" for row in rows):
        return []
    found = "; ".join(f"{row['curve']} {gain_text(row)}" for row in rows)
    return [
        f"the maps do not rank pixels better than random maps on {curve_images(quality)} ({found}): measure on more "
        "images of the kind that will be served, or do not rely on the maps"
    ]


def _weights_warnings(quality: Document) -> list[str]:
    last = quality["other_weights"][-1:]
    if quality["kept_weights"] or not last or not last[0]["of_seeds"] or min(last[0]["of_seeds"]) < _UNCHANGED:
        return []
    return [
        "the maps hardly depend on the weights: with the weights of every layer shuffled, their rank correlation with "
        f"those of the model is {last[0]['rank_correlation']:.2f}, as if the network emphasized a place, not an object"
    ]


def _chance_warnings(quality: Document) -> list[str]:
    pointing = quality["pointing"]
    if pointing is None:
        return []
    warnings = []
    hits = next((row for row in pointing["hits"] if row["map"] == "export"), None)
    if hits is None:
        warnings.append("the pointing game was not played: every box is left out of it (see the notes)")
    elif hits["interval"][0] <= pointing["chance"]:
        warnings.append(
            f"the maps point at the objects in {pointing_text(pointing, 'export')} cases: not, with 95 % confidence, "
            f"more often than by chance ({chance_text(pointing)})"
        )
    return warnings
