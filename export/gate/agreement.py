"""Measure an exported file in half precision, bf16 or int8 against Keras.

Rounding changes every value, so classes and maps are measured closely, and logits and probabilities have wide
tolerances that only answers of another magnitude exceed. The head stays float32 in half precision and int8, where the
tolerance of `cam_identity` is that of float32. In bf16 it does not, and three tolerances are those of bf16.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.answer_differences import (
    are_probabilities,
    cosines,
    largest_magnitude,
    misordered_maps,
    other_winners,
    scale_of,
)
from camserve.contract import Activation
from camserve.errors import ParityError
from camserve.export.formats.runner import Runner
from camserve.export.gate.metric import Metric, MetricName
from camserve.export.gate.tolerances import Limit, Tolerances
from camserve.export.graph.gradient_head import Head
from camserve.export.graph.reference import ReferenceOutputs, logits_of_maps
from camserve.tensors import CAM, CAM_ALL, CAM_CLASS, LOGITS, PROBABILITIES

__all__ = ["measure_agreement"]

Array = npt.NDArray[Any]


def measure_agreement(
    format_name: str,
    run: Runner,
    batches: Iterable[tuple[npt.NDArray[Any], ReferenceOutputs]],
    head: Head | None,
    tolerances: Tolerances,
    *,
    activation: Activation = "softmax",
) -> list[Metric]:
    """Measure an exported file of lower precision on images for which Keras's answers are known.

    Args:
        format_name: `onnx`, or `openvino` for bf16.
        run: Runs the file.
        batches: Inputs of the file, with Keras's answers; read one by one, and not kept. They should be images of the
            kind that will be served, none of which calibrated the quantization.
        head: The head, or None without maps.
        tolerances: The tolerances.
        activation: What turns logits into probabilities.

    Returns:
        One metric of each kind over all images. `cam` has no tolerance: `cam_distance` and `cam_identity` limit the
        pattern and the magnitude of the maps. `probabilities` is infinite if a value is not a probability.

    Raises:
        ParityError: If there are no images.
    """
    totals = _Totals()
    for images, keras in batches:
        exported = {name: np.asarray(value, np.float64) for name, value in run(images).items()}
        with np.errstate(invalid="ignore"):  # the metrics report NaN
            totals.add_scores(exported, keras, activation)
            if head is not None and keras.has_maps:
                totals.add_maps(exported, keras, head)
    if not totals.images:
        raise ParityError("there are no images to measure the export on", hint="Add calibration images")
    return totals.metrics(format_name, tolerances, activation)


@dataclass
class _Totals:
    """Counts, sums and largest values over the measured batches. A largest value is NaN once one value is NaN."""

    images: int = 0
    other_winners: int = 0
    logits: float = 0.0
    largest_logit: float = 0.0
    probabilities: float = 0.0
    maps: int = 0
    cosines: float = 0.0
    cam: float = 0.0
    largest_map: float = 0.0
    identity: float | None = None
    largest_bias: float = 0.0
    misordered: float = 0.0

    def add_scores(self, exported: dict[str, Array], keras: ReferenceOutputs, activation: Activation) -> None:
        self.images += len(keras.logits)
        self.other_winners += int(other_winners(exported[LOGITS], keras.logits, tolerance=0.0).sum())
        self.logits = largest_magnitude(self.logits, exported[LOGITS] - keras.logits)
        self.largest_logit = largest_magnitude(self.largest_logit, keras.logits)
        self.probabilities = largest_magnitude(self.probabilities, exported[PROBABILITIES] - keras.probabilities)
        if not are_probabilities(exported[PROBABILITIES], activation):
            self.probabilities = largest_magnitude(self.probabilities, np.inf)

    def add_maps(self, exported: dict[str, Array], keras: ReferenceOutputs, head: Head) -> None:
        classes = exported[CAM_CLASS].astype(int)
        expected = keras.maps_of(classes)
        self.maps += classes.size
        self.cosines += float(np.sum(cosines(exported[CAM], expected)))
        self.cam = largest_magnitude(self.cam, exported[CAM] - expected)
        self.largest_map = largest_magnitude(self.largest_map, expected if keras.maps is None else keras.maps)
        self.misordered += float(misordered_maps(classes, exported[LOGITS]).sum())
        if head.bias is not None:
            own_logits = np.take_along_axis(exported[LOGITS], classes, axis=1)
            identity = logits_of_maps(exported[CAM], head) + head.bias[classes] - own_logits
            self.identity = largest_magnitude(self.identity or 0.0, identity)
            self.largest_bias = largest_magnitude(head.bias)
        if CAM_ALL in exported and keras.maps is not None:
            self.cam = largest_magnitude(self.cam, exported[CAM_ALL] - keras.maps)

    def metrics(self, format_name: str, tolerances: Tolerances, activation: Activation) -> list[Metric]:
        """Return the metrics."""
        scale = scale_of(self.largest_logit)
        of_logits = tolerances.of_lower_precision("logits", format_name)
        probabilities, limit = self.probabilities, tolerances.of_lower_precision("probabilities", format_name)
        if activation == "linear":  # probabilities are logits
            probabilities, limit = self.probabilities / scale, of_logits

        def limited(name: MetricName, value: float, limit: Limit) -> Metric:
            return Metric.limited(format_name, name, self.images, value, limit)

        metrics = [
            Metric.share(
                format_name,
                "top1_disagreement",
                self.other_winners,
                self.images,
                tolerances.limit("top1_disagreement"),
            ),
            limited("logits", self.logits / scale, of_logits),
            limited("probabilities", probabilities, limit),
        ]
        if self.maps:
            largest = self.cam / scale_of(self.largest_map)
            metrics += [
                limited("cam_distance", 1 - self.cosines / self.maps, tolerances.limit("cam_distance")),
                Metric(format_name, "cam_class", self.images, self.misordered, 0.0),
                Metric(format_name, "cam", self.images, largest, None),
            ]
            if self.identity is not None:
                limit = tolerances.of_lower_precision("cam_identity", format_name)
                scale = scale_of(largest_magnitude(self.largest_logit, self.largest_bias))
                metrics.append(limited("cam_identity", self.identity / scale, limit))
        return metrics
