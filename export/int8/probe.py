"""Calibration images with Keras's answers, on which int8 variants of a network are measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.answer_differences import cosines, scale_of
from camserve.contract import ModelContract
from camserve.export.formats.runner import Runner
from camserve.export.gate.agreement import measure_agreement
from camserve.export.gate.metric import Metric
from camserve.export.gate.tolerances import Tolerances
from camserve.export.graph.prepare import Prepared
from camserve.export.graph.reference import ReferenceOutputs
from camserve.pixels import graph_input, normalize
from camserve.tensors import CAM, CAM_CLASS, LOGITS

__all__ = ["Effect", "Probe", "is_safe"]

_BATCH = 8
_MARGIN = 0.8
_FEWEST = 48
_PIXELS = _FEWEST * 224 * 224  # of all images that a choice of layers is measured on
_EFFECT_SHARE, _MOST_EFFECT_BATCHES = 3, 6  # the effect of a layer needs fewer


@dataclass(frozen=True)
class Effect:
    """How far answers are from Keras's.

    Attributes:
        logits: Root mean square of the differences of the logits, relative to that of Keras's logits.
        maps: Mean of 1 - cosine between a map and Keras's map of the same class; None without maps.
    """

    logits: float
    maps: float | None


class Probe:
    """Images that calibrated int8, with Keras's answers, which are computed once.

    Args:
        prepared: The classifier.
        contract: Its contract.
        fit: The images that calibrated int8, uint8 `[n, height, width, channels]`. They are sampled evenly: 48 images
            of 224x224 pixels, more of smaller ones.
        tolerances: The tolerances of the gate.
    """

    def __init__(
        self, prepared: Prepared, contract: ModelContract, fit: npt.NDArray[np.uint8], tolerances: Tolerances
    ) -> None:
        self._head = prepared.head
        self._activation = prepared.served.activation
        self._tolerances = tolerances
        number = min(len(fit), max(_FEWEST, _PIXELS // (fit.shape[1] * fit.shape[2])))
        pixels = fit[np.linspace(0, len(fit) - 1, number).round().astype(int)]
        parts = [pixels[begin :: -(-number // _BATCH)] for begin in range(-(-number // _BATCH))]
        preprocessing = contract.preprocessing
        self._batches = [
            (graph_input(part, preprocessing), prepared.reference(normalize(part, preprocessing))) for part in parts
        ]
        self.inputs: npt.NDArray[Any] = self._batches[0][0]

    def effect(self, run: Runner) -> Effect:
        """Measure how far a file is from Keras, on a third of the images, at most 48.

        Args:
            run: Runs the file.
        """
        batches = self._batches[: min(-(-len(self._batches) // _EFFECT_SHARE), _MOST_EFFECT_BATCHES)]
        return _mean([_difference(run(images), keras) for images, keras in batches])

    def metrics(self, run: Runner) -> tuple[Metric, ...]:
        """Return the metrics of the gate for a file, on all images.

        Args:
            run: Runs the file.
        """
        return tuple(
            measure_agreement("onnx", run, self._batches, self._head, self._tolerances, activation=self._activation)
        )


def is_safe(metric: Metric) -> bool:
    """Return whether a metric passes with a margin, so that it will probably pass on other images too.

    A share of the images is compared with its tolerance itself instead of the end of its interval, every other metric
    with 0.8 of its tolerance.
    """
    if metric.tolerance is None or metric.interval is None:
        limit = metric.tolerance and _MARGIN * metric.tolerance
        return replace(metric, tolerance=limit).passed
    return metric.value <= metric.tolerance


def _difference(exported: Any, keras: ReferenceOutputs) -> tuple[float, float, float | None, int]:
    """Return sums over a batch: of squared differences of logits, of squared logits and of 1 - cosine; and its size."""
    logits = np.asarray(exported[LOGITS], np.float64)
    squares, reference = float(np.sum((logits - keras.logits) ** 2)), float(np.sum(keras.logits**2))
    if not keras.has_maps:
        return squares, reference, None, len(logits)
    classes = np.asarray(exported[CAM_CLASS]).astype(int)
    distances = 1 - cosines(np.asarray(exported[CAM], np.float64), keras.maps_of(classes))
    return squares, reference, float(np.sum(distances.mean(axis=1))), len(logits)


def _mean(batches: Sequence[tuple[float, float, float | None, int]]) -> Effect:
    squares, reference, distances, images = zip(*batches, strict=True)
    maps = None if distances[0] is None else float(sum(filter(None, distances)) / sum(images))
    return Effect(float(np.sqrt(sum(squares) / scale_of(sum(reference)))), maps)
