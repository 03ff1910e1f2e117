"""The parity gate: an export that does not say what Keras says is refused.

Every figure is measured on the files as they were written, against the original network in Keras, on the same inputs.
Logits are compared rather than probabilities alone, because a softmax that saturates hides errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from camserve.errors import ParityError
from camserve.export.head import LinearHead
from camserve.export.reference import Answers, logits_of_maps

__all__ = ["BATCHES", "Budget", "Figure", "FigureName", "Runner", "judge", "measure"]

BATCHES = (1, 3, 8)
"""Batch sizes that are measured: one image, an odd batch, and the largest that is served by default."""

FigureName = Literal["logits", "probabilities", "top1", "cam", "cam_class", "cam_identity", "unfolded", "reading"]
Runner = Callable[[npt.NDArray[np.float32]], Mapping[str, npt.NDArray[Any]]]
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Budget:
    """The bounds of the gate.

    Attributes:
        logits: Largest difference of a logit, relative to the largest |logit| of Keras.
        probabilities: Largest difference of a probability, absolute.
        cam: Largest difference of a map, relative to the largest |value| of Keras's maps.
        cam_identity: Largest difference between a logit and the sum of its map plus bias, relative to the largest
            |logit|.
    """

    logits: float = 1e-4
    probabilities: float = 1e-5
    cam: float = 1e-4
    cam_identity: float = 1e-4


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        format: `onnx` or `savedmodel`; `network` for the Keras model that both are made of.
        figure: What was measured.
        batch: Number of images in the batch; 0 where that does not apply.
        value: The figure.
        bound: The largest value that passes.
    """

    format: str
    figure: FigureName
    batch: int
    value: float
    bound: float

    @property
    def passed(self) -> bool:
        """Whether the value is within its bound; not a number never is."""
        return bool(self.value <= self.bound)


def measure(
    format_name: str,
    run: Runner,
    batches: Sequence[tuple[npt.NDArray[np.float32], Answers]],
    head: LinearHead | None,
    budget: Budget,
) -> list[Figure]:
    """Measures one exported format on batches whose answers by Keras are known."""
    figures = []
    for images, keras in batches:
        exported = {name: np.asarray(value, np.float64) for name, value in run(images).items()}
        values = _differences(exported, keras, head, budget)
        figures += [
            Figure(format_name, name, len(images), value, getattr(budget, name, 0.0)) for name, value in values.items()
        ]
    return figures


def judge(figures: Sequence[Figure]) -> None:
    """Lets an export pass, or stops it.

    Raises:
        ParityError: If a figure missed its bound; the message names each.
    """
    missed = [figure for figure in figures if not figure.passed]
    if not missed:
        return
    told = "; ".join(
        f"{figure.figure} of {figure.format}"
        + (f", batch {figure.batch}" if figure.batch else "")
        + f": {figure.value:.3g} > {figure.bound:.3g}"
        for figure in missed
    )
    raise ParityError(
        f"the export does not say what Keras says, and was discarded: {told}",
        hint="Large figures mean that something differs: look at custom layers and their behaviour at inference. "
        "Figures close to their bounds mean that the network multiplies float32 rounding",
    )


def _differences(
    exported: Mapping[str, Array], keras: Answers, head: LinearHead | None, budget: Budget
) -> dict[FigureName, float]:
    scale = _scale(keras.logits)
    values: dict[FigureName, float] = {
        "logits": _largest(exported["logits"] - keras.logits) / scale,
        "probabilities": _largest(exported["probabilities"] - keras.probabilities),
        "top1": _wrong_winners(exported["logits"], keras.logits, tolerance=2 * budget.logits * scale),
    }
    if head is None or keras.maps is None:
        return values
    classes = exported["cam_class"].astype(int)
    expected = np.take_along_axis(keras.maps, classes[:, :, np.newaxis, np.newaxis], axis=1)
    summed = logits_of_maps(exported["cam"], head) + head.bias[classes]
    own = np.take_along_axis(exported["logits"], classes, axis=1)
    values["cam"] = _largest(exported["cam"] - expected) / _scale(keras.maps)
    values["cam_class"] = _wrong_ranks(classes, keras.logits, tolerance=2 * budget.logits * scale)
    values["cam_identity"] = _largest(summed - own) / scale
    if "cam_all" in exported:
        values["cam"] = max(values["cam"], _largest(exported["cam_all"] - keras.maps) / _scale(keras.maps))
    return values


def _largest(values: Array) -> float:
    """The largest magnitude; not a number if any value is not."""
    return float(np.max(np.abs(values)))


def _scale(values: Array) -> float:
    """What differences are divided by: the largest magnitude, and never 0."""
    return max(_largest(values), float(np.finfo(np.float64).tiny))


def _wrong_winners(exported: Array, keras: Array, *, tolerance: float) -> float:
    """Number of images whose best class differs although Keras is surer of it than the tolerance."""
    best_of_keras = keras.max(axis=1)
    chosen = np.take_along_axis(keras, exported.argmax(axis=1)[:, np.newaxis], axis=1)[:, 0]
    return float(np.sum(~(best_of_keras - chosen <= tolerance)))


def _wrong_ranks(classes: Array, keras: Array, *, tolerance: float) -> float:
    """Number of maps whose class is not the one of that rank, although Keras tells the two apart; or comes twice."""
    ranked = -np.sort(-keras, axis=1)[:, : classes.shape[1]]
    chosen = np.take_along_axis(keras, classes, axis=1)
    repeated = sum(classes.shape[1] - len(set(row)) for row in classes.tolist())
    return float(np.sum(~(np.abs(ranked - chosen) <= tolerance)) + repeated)
