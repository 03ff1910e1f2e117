"""Examples: images with what Keras and the export say of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.export.graph.reference import Answers

__all__ = ["EXAMPLES", "Example", "example_values", "examples_of"]

EXAMPLES = 4
"""The most examples that a report shows."""

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Example:
    """One image, the class that Keras sees in it, and how Keras and the export explain it.

    Attributes:
        name: Its file's name, or `sample 1`.
        image: The pixels as the network saw them before any arithmetic, uint8 `[height, width, channels]`, RGB or
            gray.
        label: The label of Keras's best class.
        keras_probability: Keras's probability of it.
        keras_map: Keras's map of it, `[rows, columns]`; None where the model has no maps.
        probability: The export's probability of the same class.
        map: The export's map of the same class; None where it is not among the export's best.
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
        """The largest difference of the two maps, relative to the largest |value| of Keras's."""
        if self.keras_map is None or self.map is None:
            return None
        largest = max(float(np.max(np.abs(self.keras_map))), float(np.finfo(np.float64).tiny))
        return float(np.max(np.abs(np.asarray(self.map, np.float64) - self.keras_map))) / largest


def examples_of(
    images: npt.NDArray[np.uint8],
    names: Sequence[str],
    keras: Answers,
    exported: Mapping[str, Array],
    labels: Sequence[str],
) -> tuple[Example, ...]:
    """The examples of a batch: the image whose maps differ most, then others, of classes not shown yet if there are.

    Args:
        images: uint8 `[batch, height, width, channels]`, RGB or gray.
        names: The name of each image.
        keras: Keras's answers to the batch.
        exported: The export's, by output.
        labels: The lines of `labels.txt`.
    """
    found = [
        _example(index, name=name, image=image, keras=keras, exported=exported, labels=labels)
        for index, (name, image) in enumerate(zip(names, images, strict=True))
    ]
    waiting = sorted(found, key=lambda example: -_surprise(example))  # stable: equals stay in order
    chosen: list[Example] = []
    while waiting and len(chosen) < EXAMPLES:
        shown = {example.label for example in chosen}
        following = next((example for example in waiting if example.label not in shown), waiting[0])
        waiting.remove(following)
        chosen.append(following)
        if len(chosen) == 1:
            waiting.sort(key=found.index)
    return tuple(chosen)


def example_values(example: Example) -> dict[str, Any]:
    """The example as plain values, without its pixels; maps rounded to float32."""
    return {
        "picture": example.name,
        "label": example.label,
        "keras": {"probability": _single(example.keras_probability), "map": _grid(example.keras_map)},
        "export": {"probability": _single(example.probability), "map": _grid(example.map)},
        "difference": None if example.difference is None else _single(example.difference),
    }


def _example(
    index: int,
    *,
    name: str,
    image: npt.NDArray[np.uint8],
    keras: Answers,
    exported: Mapping[str, Array],
    labels: Sequence[str],
) -> Example:
    best = int(keras.logits[index].argmax())
    ranked = exported["cam_class"][index].tolist() if "cam_class" in exported else []
    return Example(
        name=name,
        image=image,
        label=labels[best].rpartition("\t")[2],  # without the identifier that may stand before it
        keras_probability=float(keras.probabilities[index, best]),
        keras_map=None if keras.maps is None else keras.maps[index, best],
        probability=float(exported["probabilities"][index, best]),
        map=exported["cam"][index, ranked.index(best)] if best in ranked else None,
    )


def _surprise(example: Example) -> float:
    if example.keras_map is None:
        return abs(example.keras_probability - example.probability)
    difference = example.difference
    return difference if difference is not None and math.isfinite(difference) else math.inf


def _grid(values: Array | None) -> list[list[float | None]] | None:
    return None if values is None else [[_single(value) for value in row] for row in values]


def _single(value: Any) -> float | None:
    """The shortest number that is the same in float32; None for what JSON has no number for."""
    return float(str(np.float32(value))) if math.isfinite(value) else None
