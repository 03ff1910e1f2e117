"""The parity gate: an export that does not say what Keras says is refused.

Every figure is measured on the files as they were written, against the original network in Keras, on the same inputs.
Logits are compared rather than probabilities alone, because a softmax that saturates hides errors. Here float32 is
measured, number by number; `camserve.export.gate.agreement` measures half precision and int8, which round.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from camserve.contract import Activation
from camserve.errors import ParityError
from camserve.export.formats.runner import Runner
from camserve.export.gate.differences import (
    larger,
    largest_magnitude,
    nonzero,
    probabilities_difference,
    wrong_ranks,
    wrong_winners,
)
from camserve.export.gate.tolerances import Tolerances
from camserve.export.graph.head import LinearHead
from camserve.export.graph.reference import Answers, logits_of_maps

__all__ = [
    "BATCHES",
    "FigureName",
    "Metric",
    "Tolerances",
    "judge",
    "measure",
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
class Metric:
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
    budget: Tolerances,
    *,
    activation: Activation = "softmax",
) -> list[Metric]:
    """Measures one exported format on batches whose answers by Keras are known.

    Args:
        format_name: `onnx` or `savedmodel`.
        run: Runs the file.
        batches: Images as the file takes them, with Keras's answers.
        head: The linear head, or None where there are no maps.
        budget: The bounds.
        activation: What turns logits into probabilities.

    Returns:
        The figures of each batch.
    """
    bounds = {**asdict(budget), "probabilities": budget.of_probabilities(activation)}
    figures = []
    for images, keras in batches:
        exported = {name: np.asarray(value, np.float64) for name, value in run(images).items()}
        values = _differences(exported, keras, head, budget, activation)
        figures += [
            Metric(format_name, name, len(images), value, bounds.get(name, 0.0)) for name, value in values.items()
        ]
    return figures


def judge(figures: Sequence[Metric]) -> None:
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
    rounded = {figure.format for figure in figures if figure.figure in _OF_ROUNDING}
    rounding = any(figure.format in rounded for figure in missed)
    raise ParityError(
        f"the export does not say what Keras says, and was discarded: {told}",
        hint=_HINT_OF_ROUNDING if rounding else _HINT,
    )


_OF_ROUNDING = frozenset({"half_range", "top1_disagreement", "cam_distance"})
_HINT = (
    "Large figures mean that something differs: look at custom layers and their behaviour at inference. "
    "Figures close to their bounds mean that the network multiplies float32 rounding. Where only onnx misses, ONNX has "
    "another form of an operator (Resizing, for one): try --formats savedmodel"
)
_HINT_OF_ROUNDING = (
    "This precision is too coarse for the network: int8 gains from more calibration images of the kind that is "
    "served; otherwise choose fp16 (for int8) or fp32"
)


def _differences(
    exported: Mapping[str, Array], keras: Answers, head: LinearHead | None, budget: Tolerances, activation: Activation
) -> dict[FigureName, float]:
    scale = nonzero(largest_magnitude(keras.logits))
    values: dict[FigureName, float] = {
        "logits": largest_magnitude(exported["logits"] - keras.logits) / scale,
        "probabilities": probabilities_difference(exported["probabilities"], keras, activation),
        "top1": wrong_winners(exported["logits"], keras.logits, tolerance=2 * budget.logits * scale),
    }
    if head is None or keras.maps is None:
        return values
    classes = exported["cam_class"].astype(int)
    expected = np.take_along_axis(keras.maps, classes[:, :, np.newaxis, np.newaxis], axis=1)
    summed = logits_of_maps(exported["cam"], head) + head.bias[classes]
    own = np.take_along_axis(exported["logits"], classes, axis=1)
    largest_map = nonzero(largest_magnitude(keras.maps))
    values["cam"] = largest_magnitude(exported["cam"] - expected) / largest_map
    values["cam_class"] = wrong_ranks(classes, keras.logits, tolerance=2 * budget.logits * scale)
    values["cam_identity"] = largest_magnitude(summed - own) / scale
    if "cam_all" in exported:
        values["cam"] = larger(values["cam"], (exported["cam_all"] - keras.maps) / largest_map)
    return values
