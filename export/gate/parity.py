"""The parity gate: an export that does not say what Keras says is refused.

Every figure is measured on the files as they were written, against the original network in Keras, on the same inputs.
Logits are compared rather than probabilities alone, because a softmax that saturates hides errors. Here float32 is
measured, number by number; `camserve.export.gate.agreement` measures half precision and int8, which round.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from camserve.errors import ParityError
from camserve.export.formats.runner import Runner
from camserve.export.graph.head import LinearHead
from camserve.export.graph.reference import Answers, logits_of_maps

__all__ = [
    "BATCHES",
    "Budget",
    "Figure",
    "FigureName",
    "judge",
    "largest_magnitude",
    "measure",
    "wrong_ranks",
    "wrong_winners",
]

BATCHES = (1, 3, 8)
"""Batch sizes that are measured: one image, an odd batch, and the largest that is served by default."""

FigureName = Literal[
    "logits",
    "probabilities",
    "top1",
    "top1_disagreement",
    "cam",
    "cam_class",
    "cam_distance",
    "cam_identity",
    "half_range",
    "reading",
    "unfolded",
]
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
        top1_disagreement: In fp16 and int8, largest share of images whose best class is another than Keras's.
        cam_distance: In fp16 and int8, largest distance of a map from Keras's of the same class: one less their
            cosine, on the average.
    """

    logits: float = 1e-4
    probabilities: float = 1e-5
    cam: float = 1e-4
    cam_identity: float = 1e-4
    top1_disagreement: float = 0.01
    cam_distance: float = 0.01


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        format: `onnx` or `savedmodel`; `network` for the Keras model that both are made of.
        figure: What was measured.
        batch: Number of images measured on; 0 where that does not apply.
        value: The figure.
        bound: The largest value that passes; None for a figure that is told and not judged.
    """

    format: str
    figure: FigureName
    batch: int
    value: float
    bound: float | None

    @property
    def passed(self) -> bool:
        """Whether the value is within its bound, or finite where there is none; not a number never is."""
        return math.isfinite(self.value) if self.bound is None else bool(self.value <= self.bound)


def measure(
    format_name: str,
    run: Runner,
    batches: Sequence[tuple[npt.NDArray[Any], Answers]],
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
        + (f": {figure.value:.3g}" if figure.bound is None else f": {figure.value:.3g} > {figure.bound:.3g}")
        for figure in missed
    )
    rounding = not _OF_ROUNDING.isdisjoint(figure.figure for figure in missed)
    raise ParityError(
        f"the export does not say what Keras says, and was discarded: {told}",
        hint=_HINT_OF_ROUNDING if rounding else _HINT,
    )


_OF_ROUNDING = frozenset({"half_range", "top1_disagreement", "cam_distance"})
_HINT = (
    "Large figures mean that something differs: look at custom layers and their behaviour at inference. "
    "Figures close to their bounds mean that the network multiplies float32 rounding"
)
_HINT_OF_ROUNDING = (
    "This precision is too coarse for the network: int8 gains from more calibration pictures of the kind that is "
    "served; otherwise choose fp16 (for int8) or fp32"
)


def _differences(
    exported: Mapping[str, Array], keras: Answers, head: LinearHead | None, budget: Budget
) -> dict[FigureName, float]:
    scale = _scale(keras.logits)
    values: dict[FigureName, float] = {
        "logits": largest_magnitude(exported["logits"] - keras.logits) / scale,
        "probabilities": largest_magnitude(exported["probabilities"] - keras.probabilities),
        "top1": wrong_winners(exported["logits"], keras.logits, tolerance=2 * budget.logits * scale),
    }
    if head is None or keras.maps is None:
        return values
    classes = exported["cam_class"].astype(int)
    expected = np.take_along_axis(keras.maps, classes[:, :, np.newaxis, np.newaxis], axis=1)
    summed = logits_of_maps(exported["cam"], head) + head.bias[classes]
    own = np.take_along_axis(exported["logits"], classes, axis=1)
    values["cam"] = largest_magnitude(exported["cam"] - expected) / _scale(keras.maps)
    values["cam_class"] = wrong_ranks(classes, keras.logits, tolerance=2 * budget.logits * scale)
    values["cam_identity"] = largest_magnitude(summed - own) / scale
    if "cam_all" in exported:
        values["cam"] = max(values["cam"], largest_magnitude(exported["cam_all"] - keras.maps) / _scale(keras.maps))
    return values


def largest_magnitude(values: Array) -> float:
    """The largest magnitude; not a number if any value is not."""
    return float(np.max(np.abs(values)))


def _scale(values: Array) -> float:
    """What differences are divided by: the largest magnitude, and never 0."""
    return max(largest_magnitude(values), float(np.finfo(np.float64).tiny))


def wrong_winners(exported: Array, keras: Array, *, tolerance: float) -> float:
    """Number of images whose best class differs although Keras is surer of it than the tolerance."""
    best_of_keras = keras.max(axis=1)
    chosen = np.take_along_axis(keras, exported.argmax(axis=1)[:, np.newaxis], axis=1)[:, 0]
    return float(np.sum(~(best_of_keras - chosen <= tolerance)))


def wrong_ranks(classes: Array, keras: Array, *, tolerance: float) -> float:
    """Number of maps whose class is not the one of that rank, although Keras tells the two apart; or comes twice."""
    ranked = -np.sort(-keras, axis=1)[:, : classes.shape[1]]
    chosen = np.take_along_axis(keras, classes, axis=1)
    repeated = sum(classes.shape[1] - len(set(row)) for row in classes.tolist())
    return float(np.sum(~(np.abs(ranked - chosen) <= tolerance)) + repeated)
