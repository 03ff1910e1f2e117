"""Choose example images, with the answers of Keras and of the export."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.answer_differences import largest_magnitude, scale_of
from camserve.export.graph.reference import ReferenceOutputs
from camserve.tensors import CAM, CAM_CLASS, PROBABILITIES

__all__ = ["EXAMPLES", "Example", "choose_examples", "example_document"]

EXAMPLES = 4
"""The most examples of a report."""

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Example:
    """An image, its best class according to Keras, and the map of that class by Keras and by the export.

    Attributes:
        name: The name of its file, or `sample 1`.
        image: The pixels of the network's input before any arithmetic, uint8 `[height, width, channels]`, RGB or gray.
        label: The label of the best class.
        keras_probability: The probability of that class according to Keras.
        keras_map: Keras's map, `[rows, columns]`; None if the model has no maps.
        probability: The probability according to the export.
        map: The export's map; None if the class is not among the export's best.
    """

    name: str
    image: npt.NDArray[np.uint8]
    label: str
    keras_probability: float
    keras_map: Array | None
    probability: float
    map: Array | None

    @property
    def difference(self) -> float | None:
        """The largest difference between the two maps, relative to the largest |value| of Keras's; None without."""
        if self.keras_map is None or self.map is None:
            return None
        return largest_magnitude(np.asarray(self.map, np.float64) - self.keras_map) / scale_of(self.keras_map)


def choose_examples(
    images: npt.NDArray[np.uint8],
    names: Sequence[str],
    keras: ReferenceOutputs,
    exported: Mapping[str, Array],
    labels: Sequence[str],
) -> tuple[Example, ...]:
    """Choose examples from a batch: the image whose maps differ most, then others, preferably of other classes.

    Args:
        images: uint8 `[batch, height, width, channels]`, RGB or gray.
        names: The name of each image.
        keras: Keras's answers to the batch.
        exported: The outputs of the export, by name.
        labels: The lines of `labels.txt`.
    """
    best = keras.logits.argmax(axis=1)[:, np.newaxis]
    best_maps = keras.maps_of(best)[:, 0] if keras.has_maps else [None] * len(images)
    candidates = [
        _example(index, name=name, image=image, keras=keras, keras_map=keras_map, exported=exported, labels=labels)
        for index, (name, image, keras_map) in enumerate(zip(names, images, best_maps, strict=True))
    ]
    remaining = sorted(candidates, key=lambda example: -_deviation(example))  # stable: equals stay in order
    chosen: list[Example] = []
    while remaining and len(chosen) < EXAMPLES:
        shown = {example.label for example in chosen}
        following = next((example for example in remaining if example.label not in shown), remaining[0])
        remaining.remove(following)
        chosen.append(following)
        if len(chosen) == 1:
            remaining.sort(key=candidates.index)
    return tuple(chosen)


def example_document(example: Example) -> dict[str, Any]:
    """Return the example as it is stored in `report.json`: without its pixels, and with maps rounded to float32."""
    return {
        "picture": example.name,
        "label": example.label,
        "keras": {"probability": _float32(example.keras_probability), "map": _grid(example.keras_map)},
        "export": {"probability": _float32(example.probability), "map": _grid(example.map)},
        "difference": None if example.difference is None else _float32(example.difference),
    }


def _example(
    index: int,
    *,
    name: str,
    image: npt.NDArray[np.uint8],
    keras: ReferenceOutputs,
    keras_map: Array | None,
    exported: Mapping[str, Array],
    labels: Sequence[str],
) -> Example:
    best = int(keras.logits[index].argmax())
    ranked = exported[CAM_CLASS][index].tolist() if CAM_CLASS in exported else []
    return Example(
        name=name,
        image=image,
        label=labels[best].rpartition("\t")[2],  # without the identifier before it
        keras_probability=float(keras.probabilities[index, best]),
        keras_map=keras_map,
        probability=float(exported[PROBABILITIES][index, best]),
        map=exported[CAM][index, ranked.index(best)] if best in ranked else None,
    )


def _deviation(example: Example) -> float:
    if example.keras_map is None:
        return abs(example.keras_probability - example.probability)
    difference = example.difference
    return difference if difference is not None and math.isfinite(difference) else math.inf


def _grid(values: Array | None) -> list[list[float | None]] | None:
    return None if values is None else [[_float32(value) for value in row] for row in values]


def _float32(value: Any) -> float | None:
    """Return the shortest number that is equal in float32; None for NaN and infinity, which JSON cannot represent."""
    return float(str(np.float32(value))) if math.isfinite(value) else None
