"""What was measured of the maps of an export, and the values of it in `report.json`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from camserve.export.quality.curves import area
from camserve.export.quality.pointing import TOLERANCE
from camserve.export.quality.statistics import mean_interval
from camserve.shares import wilson_interval

__all__ = ["Curves", "MapQuality", "Pointing", "Randomized"]

Array = npt.NDArray[Any]
Verdict = Literal["better", "worse", "not settled"]
_SOURCES = ("keras", "export")
_DIGITS = 6


@dataclass(frozen=True, eq=False)
class Curves:
    """The score of the best class of each image while its pixels are removed or inserted, from the first to the last.

    Attributes:
        deletion: `[2, images, steps + 1]`, in the order of Keras's maps and of those of the export.
        insertion: The same, while pixels are inserted.
        random: `[images, maps, steps + 1]`, while pixels are removed in the order of random maps. Backwards, they are
            curves of insertion: the order of a random map is as random from its end.
    """

    deletion: Array
    insertion: Array
    random: Array

    def as_document(self) -> dict[str, Any]:
        """Return the mean curves, and the area under each compared with random maps, as plain values."""
        return {
            "images": len(self.random),
            "random_maps": self.random.shape[1],
            "areas": list(self._areas()),
            "values": {
                "deletion": dict(zip(_SOURCES, map(_numbers, self.deletion.mean(axis=1)), strict=True)),
                "insertion": dict(zip(_SOURCES, map(_numbers, self.insertion.mean(axis=1)), strict=True)),
                "random": _numbers(self.random.mean(axis=(0, 1))),
            },
        }

    def _areas(self) -> Iterator[dict[str, Any]]:
        random = area(self.random).mean(axis=1)
        for curve, values, sign in (("deletion", self.deletion, -1), ("insertion", self.insertion, 1)):
            for source, areas in zip(_SOURCES, area(values), strict=True):
                gains = sign * (areas - random)
                interval = mean_interval(gains)
                yield {
                    "curve": curve,
                    "map": source,
                    "area": _number(areas.mean()),
                    "random": _number(random.mean()),
                    "gain": _number(gains.mean()),
                    "interval": None if interval is None else _numbers(np.array(interval)),
                    "verdict": _verdict(interval),
                }


@dataclass(frozen=True, eq=False)
class Randomized:
    """How much alike the maps of Keras are with the weights of the model and with shuffled ones.

    Attributes:
        name: The layers with shuffled weights.
        layers: Their number.
        rank_correlation: Spearman's rank correlation of each pair of maps, `[seeds, images]`; NaN where a map is
            constant or not finite.
        cosine: The cosine of each pair, `[seeds, images]`.
    """

    name: str
    layers: int
    rank_correlation: Array
    cosine: Array

    def as_document(self) -> dict[str, Any]:
        """Return plain values: means of the pairs that can be compared, of all seeds and of each."""
        valid = np.isfinite(self.rank_correlation)
        seeds = [row[mask] for row, mask in zip(self.rank_correlation, valid, strict=True) if mask.any()]
        return {
            "weights": self.name,
            "layers": self.layers,
            "rank_correlation": _number(self.rank_correlation[valid].mean()) if seeds else None,
            "of_seeds": [_number(row.mean()) for row in seeds],
            "cosine": _number(self.cosine[valid].mean()) if seeds else None,
            "compared": int(valid.sum()),
            "pairs": valid.size,
        }


@dataclass(frozen=True)
class Pointing:
    """The result of the pointing game.

    Attributes:
        played: Number of pairs of an image and a class of its objects.
        keras: Number of pairs in which the maximum of Keras's map is on an object.
        export: The same of the export's map.
        chance: The expected share of pairs for random maxima; None without pairs.
        without_map: Number of further pairs, of classes that are not among those that the export returns maps of.
        outside: Number of boxes outside the part of the image that the network receives.
        unread: Number of images with boxes that were not read, as the file has more than are measured.
    """

    played: int
    keras: int
    export: int
    chance: float | None
    without_map: int
    outside: int
    unread: int

    def as_document(self) -> dict[str, Any]:
        """Return plain values."""
        hits = zip(_SOURCES, (self.keras, self.export), strict=True)
        return {
            "played": self.played,
            "hits": [
                {"map": source, "hits": found, "interval": _numbers(np.array(wilson_interval(found, self.played)))}
                for source, found in hits
                if self.played
            ],
            "chance": None if self.chance is None else _number(self.chance),
            "tolerance": _number(TOLERANCE),
            "without_map": self.without_map,
            "outside": self.outside,
            "unread": self.unread,
        }


@dataclass(frozen=True, eq=False)
class MapQuality:
    """What was measured.

    Attributes:
        kind: Where the images are from; see `QualityImages`.
        images: Their number; curves and other weights are measured on some of them.
        curves: Deletion and insertion.
        randomized: Maps of other weights, the more layers the later.
        kept: Names of the layers that kept their weights in these.
        pointing: The pointing game; None without boxes.
    """

    kind: str
    images: int
    curves: Curves
    randomized: tuple[Randomized, ...]
    kept: tuple[str, ...]
    pointing: Pointing | None

    def as_document(self) -> dict[str, Any]:
        """Return plain values, as they are stored in `report.json`."""
        return {
            "measured_on": self.kind,
            "images": self.images,
            "curves": self.curves.as_document(),
            "other_weights": [each.as_document() for each in self.randomized],
            "kept_weights": list(self.kept),
            "pointing": None if self.pointing is None else self.pointing.as_document(),
        }


def _verdict(interval: tuple[float, float] | None) -> Verdict:
    if interval is None or interval[0] <= 0 <= interval[1]:
        return "not settled"
    return "better" if interval[0] > 0 else "worse"


def _number(value: Any) -> float:
    return round(float(value), _DIGITS)


def _numbers(values: Array) -> list[float]:
    return [_number(value) for value in values]
