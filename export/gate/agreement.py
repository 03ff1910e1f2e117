"""The gate of half precision and int8: whether an export that rounds still gives Keras's answers and shows its maps.

Rounding moves every number, so it is classes and maps that are judged closely; logits and probabilities have wide
bounds, which an answer of another size misses. The head stays in float32 in every precision: that the maps are those of
the answer is held to the same bound as in float32.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.contract import Activation
from camserve.errors import ParityError
from camserve.export.formats.runner import Runner
from camserve.export.gate.differences import are_probabilities, cosines, larger, nonzero, wrong_ranks, wrong_winners
from camserve.export.gate.parity import FigureName, Metric
from camserve.export.gate.tolerances import Tolerances
from camserve.export.graph.head import LinearHead
from camserve.export.graph.reference import Answers, logits_of_maps

__all__ = ["measure_agreement"]

Array = npt.NDArray[Any]


def measure_agreement(
    format_name: str,
    run: Runner,
    batches: Iterable[tuple[npt.NDArray[Any], Answers]],
    head: LinearHead | None,
    budget: Tolerances,
    *,
    activation: Activation = "softmax",
) -> list[Metric]:
    """Measures an exported format of lower precision on images whose answers by Keras are known.

    Args:
        format_name: `onnx` or `savedmodel`.
        run: Runs the file.
        batches: Images as the file takes them, with Keras's answers; taken one by one, and none is kept. They should
            be images of the kind that will be served, none of which the quantizer saw.
        head: The linear head, or None where there are no maps.
        budget: The bounds.
        activation: What turns logits into probabilities.

    Returns:
        One figure of each kind over all images. `cam` is told without a bound: `cam_distance` and `cam_identity` bound
        what the maps show and how large they are. `probabilities` is infinite where a value is no probability.

    Raises:
        ParityError: If there are no images.
    """
    sums = _Sums()
    for images, keras in batches:
        exported = {name: np.asarray(value, np.float64) for name, value in run(images).items()}
        with np.errstate(invalid="ignore"):  # the figures tell of what is not a number
            sums.add_answers(exported, keras, activation)
            if head is not None and keras.maps is not None:
                sums.add_maps(exported, keras.maps, head)
    if not sums.images:
        raise ParityError("there are no images to measure the export on", hint="Give more calibration images")
    judged: dict[FigureName, tuple[float, float | None]] = {
        "top1_disagreement": (sums.other_winners / sums.images, budget.top1_disagreement),
        "logits": (sums.logits / nonzero(sums.largest_logit), budget.lower_logits),
        "probabilities": (sums.probabilities, budget.lower_probabilities),
    }
    if activation == "linear":  # they are logits
        judged["probabilities"] = (sums.probabilities / nonzero(sums.largest_logit), budget.lower_logits)
    if sums.maps:
        judged["cam_distance"] = (1 - sums.cosines / sums.maps, budget.cam_distance)
        judged["cam_identity"] = (sums.identity / nonzero(sums.largest_logit), budget.cam_identity)
        judged["cam_class"] = (sums.wrong_classes, 0.0)
        judged["cam"] = (sums.cam / nonzero(sums.largest_map), None)
    return [Metric(format_name, name, sums.images, value, bound) for name, (value, bound) in judged.items()]


@dataclass
class _Sums:
    """What is kept of the batches that were measured. Largest values are not a number once one of them is not."""

    images: int = 0
    other_winners: float = 0.0
    logits: float = 0.0
    largest_logit: float = 0.0
    probabilities: float = 0.0
    maps: int = 0
    cosines: float = 0.0
    cam: float = 0.0
    largest_map: float = 0.0
    identity: float = 0.0
    wrong_classes: float = 0.0

    def add_answers(self, exported: dict[str, Array], keras: Answers, activation: Activation) -> None:
        self.images += len(keras.logits)
        self.other_winners += wrong_winners(exported["logits"], keras.logits, tolerance=0.0)
        self.logits = larger(self.logits, exported["logits"] - keras.logits)
        self.largest_logit = larger(self.largest_logit, keras.logits)
        self.probabilities = larger(self.probabilities, exported["probabilities"] - keras.probabilities)
        if not are_probabilities(exported["probabilities"], activation):
            self.probabilities = larger(self.probabilities, np.array(np.inf))

    def add_maps(self, exported: dict[str, Array], maps: Array, head: LinearHead) -> None:
        classes = exported["cam_class"].astype(int)
        expected = np.take_along_axis(maps, classes[:, :, np.newaxis, np.newaxis], axis=1)
        own = np.take_along_axis(exported["logits"], classes, axis=1)
        self.maps += classes.size
        self.cosines += float(np.sum(cosines(exported["cam"], expected)))
        self.cam = larger(self.cam, exported["cam"] - expected)
        self.largest_map = larger(self.largest_map, maps)
        self.identity = larger(self.identity, logits_of_maps(exported["cam"], head) + head.bias[classes] - own)
        self.wrong_classes += wrong_ranks(classes, exported["logits"], tolerance=0.0)
        if "cam_all" in exported:
            self.cam = larger(self.cam, exported["cam_all"] - maps)
