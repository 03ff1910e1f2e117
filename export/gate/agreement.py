"""The gate of half precision and int8: whether an export that rounds still gives Keras's answers and shows its maps.

Rounding moves every number, so classes and maps are judged and the distance of numbers is told beside them. The head
stays in float32 in every precision: that the maps are those of the answer is held to the same bound as in float32.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.errors import ParityError
from camserve.export.formats.runner import Runner
from camserve.export.gate.parity import Budget, Figure, FigureName, largest_magnitude, wrong_ranks, wrong_winners
from camserve.export.graph.head import LinearHead
from camserve.export.graph.reference import Answers, logits_of_maps

__all__ = ["cosines", "measure_agreement"]

Array = npt.NDArray[Any]


def measure_agreement(
    format_name: str,
    run: Runner,
    batches: Iterable[tuple[npt.NDArray[Any], Answers]],
    head: LinearHead | None,
    budget: Budget,
) -> list[Figure]:
    """Measures an exported format of lower precision on images whose answers by Keras are known.

    Args:
        format_name: `onnx` or `savedmodel`.
        run: Runs the file.
        batches: Images as the file takes them, with Keras's answers; taken one by one, and none is kept. They should
            be pictures of the kind that will be served, none of which the quantizer saw.
        head: The linear head, or None where there are no maps.
        budget: The bounds.

    Returns:
        One figure of each kind over all images. `logits`, `probabilities` and `cam` are told without a bound.

    Raises:
        ParityError: If there are no images.
    """
    sums = _Sums()
    for images, keras in batches:
        exported = {name: np.asarray(value, np.float64) for name, value in run(images).items()}
        with np.errstate(invalid="ignore"):  # the figures tell of what is not a number
            sums.add_answers(exported, keras)
            if head is not None and keras.maps is not None:
                sums.add_maps(exported, keras.maps, head)
    if not sums.images:
        raise ParityError("there are no images to measure the export on", hint="Give more calibration pictures")
    judged: dict[FigureName, tuple[float, float | None]] = {
        "top1_disagreement": (sums.other_winners / sums.images, budget.top1_disagreement),
        "logits": (sums.logits / _nonzero(sums.largest_logit), None),
        "probabilities": (sums.probabilities, None),
    }
    if sums.maps:
        judged["cam_distance"] = (1 - sums.cosines / sums.maps, budget.cam_distance)
        judged["cam_identity"] = (sums.identity / _nonzero(sums.largest_logit), budget.cam_identity)
        judged["cam_class"] = (sums.wrong_classes, 0.0)
        judged["cam"] = (sums.cam / _nonzero(sums.largest_map), None)
    return [Figure(format_name, name, sums.images, value, bound) for name, (value, bound) in judged.items()]


def cosines(maps: Array, others: Array) -> Array:
    """The cosine between each map and its counterpart.

    Args:
        maps: `[..., height, width]`.
        others: The same shape.

    Returns:
        `[...]`; 1 where both maps are zero everywhere, 0 where one is, not a number where a value is not.
    """
    flat, counterpart = (values.reshape(*values.shape[:-2], -1).astype(np.float64) for values in (maps, others))
    lengths = np.linalg.norm(flat, axis=-1), np.linalg.norm(counterpart, axis=-1)
    product = lengths[0] * lengths[1]
    both_zero = (lengths[0] == 0) & (lengths[1] == 0)
    result: Array = np.where(both_zero, 1.0, np.sum(flat * counterpart, axis=-1) / np.where(product == 0, 1.0, product))
    return result


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

    def add_answers(self, exported: dict[str, Array], keras: Answers) -> None:
        self.images += len(keras.logits)
        self.other_winners += wrong_winners(exported["logits"], keras.logits, tolerance=0.0)
        self.logits = _larger(self.logits, exported["logits"] - keras.logits)
        self.largest_logit = _larger(self.largest_logit, keras.logits)
        self.probabilities = _larger(self.probabilities, exported["probabilities"] - keras.probabilities)

    def add_maps(self, exported: dict[str, Array], maps: Array, head: LinearHead) -> None:
        classes = exported["cam_class"].astype(int)
        expected = np.take_along_axis(maps, classes[:, :, np.newaxis, np.newaxis], axis=1)
        own = np.take_along_axis(exported["logits"], classes, axis=1)
        self.maps += classes.size
        self.cosines += float(np.sum(cosines(exported["cam"], expected)))
        self.cam = _larger(self.cam, exported["cam"] - expected)
        self.largest_map = _larger(self.largest_map, maps)
        self.identity = _larger(self.identity, logits_of_maps(exported["cam"], head) + head.bias[classes] - own)
        self.wrong_classes += wrong_ranks(classes, exported["logits"], tolerance=0.0)
        if "cam_all" in exported:
            self.cam = _larger(self.cam, exported["cam_all"] - maps)


def _larger(known: float, values: Array) -> float:
    return float(np.maximum(known, largest_magnitude(values)))  # unlike max, keeps what is not a number


def _nonzero(scale: float) -> float:
    return float(np.maximum(scale, np.finfo(np.float64).tiny))
