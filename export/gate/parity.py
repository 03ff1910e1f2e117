"""Measure an exported file in float32, value by value.

Every metric is measured on the file as it was written, against the original network in float64, on the same inputs.
Logits are compared as well as probabilities, because a saturated softmax hides errors. How far Keras's own float32
answers are from those in float64 is measured in the same way. Lower precisions round every value and are measured
by `camserve.export.gate.agreement`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.answer_differences import (
    largest_magnitude,
    misordered_maps,
    misranked_maps,
    other_winners,
    probability_difference,
    scale_of,
)
from camserve.contract import Activation
from camserve.export.formats.runner import Runner
from camserve.export.gate.metric import Metric, MetricName
from camserve.export.gate.tolerances import Limit, Tolerances
from camserve.export.graph.gradient_head import Head
from camserve.export.graph.reference import ReferenceOutputs, logits_of_maps
from camserve.ranking import rank_classes
from camserve.tensors import CAM, CAM_ALL, CAM_CLASS, LOGITS, PROBABILITIES

__all__ = ["BATCHES", "fp32_limits", "largest_differences", "measure_parity"]

BATCHES = (1, 3, 8)
"""Batch sizes that are measured: one image, an odd batch, and the largest that is served by default."""

Array = npt.NDArray[Any]


def largest_differences(
    batches: Sequence[tuple[ReferenceOutputs, ReferenceOutputs]], top_k: int | None, activation: Activation
) -> dict[MetricName, float]:
    """Return how far other answers, such as those of Keras in float32, are from the true ones: the largest differences.

    Args:
        batches: The float64 answers to each batch, and the others.
        top_k: Number of maps of an image that are compared, of its best classes; None for all.
        activation: What turns logits into probabilities.
    """
    differences: dict[MetricName, float] = {}
    for truth, other in batches:
        exported = {LOGITS: other.logits, PROBABILITIES: other.probabilities}
        values = _score_differences(exported, truth, activation)
        if truth.has_maps and other.has_maps:
            best = rank_classes(truth.logits)[:, :top_k]
            values["cam"] = _map_difference(other.maps_of(best), truth.maps_of(best), truth)
        for name, value in values.items():
            differences[name] = largest_magnitude(differences.get(name, 0.0), value)
    return differences


def measure_parity(
    format_name: str,
    run: Runner,
    batches: Sequence[tuple[npt.NDArray[Any], ReferenceOutputs]],
    head: Head | None,
    tolerances: Tolerances,
    *,
    activation: Activation = "softmax",
    noise: Mapping[MetricName, float] | None = None,
) -> list[Metric]:
    """Measure an exported file on batches for which the answers in float64 are known.

    Args:
        format_name: `onnx` or `savedmodel`.
        run: Runs the file.
        batches: Inputs of the file, with the answers of the network.
        head: The head, or None without maps.
        tolerances: The tolerances.
        activation: What turns logits into probabilities.
        noise: The result of `largest_differences`; None if the answers are not in float64.

    Returns:
        The metrics of each batch.
    """
    limits = fp32_limits(tolerances, activation, noise or {})
    metrics = []
    for images, truth in batches:
        exported = {name: np.asarray(value, np.float64) for name, value in run(images).items()}
        margin = 2 * limits["logits"].value * scale_of(truth.logits)
        values = _score_differences(exported, truth, activation)
        values["top1"] = float(other_winners(exported[LOGITS], truth.logits, tolerance=margin).sum())
        if head is not None and truth.has_maps:
            values |= _map_differences(exported, truth, head, margin)
        metrics += [
            Metric.limited(format_name, name, len(images), value, limits[name])
            if name in limits
            else Metric(format_name, name, len(images), value, 0.0)
            for name, value in values.items()
        ]
    return metrics


def fp32_limits(
    tolerances: Tolerances, activation: Activation, noise: Mapping[MetricName, float]
) -> dict[MetricName, Limit]:
    """Return the limit of each metric of fp32 that has a tolerance; `noise` as in `measure_parity`, or empty."""
    return {
        "logits": tolerances.limit("logits", noise.get("logits")),
        "probabilities": tolerances.of_probabilities(activation, noise.get("probabilities")),
        "cam": tolerances.limit("cam", noise.get("cam")),
        "cam_identity": tolerances.limit("cam_identity"),
    }


def _score_differences(
    exported: Mapping[str, Array], truth: ReferenceOutputs, activation: Activation
) -> dict[MetricName, float]:
    return {
        "logits": largest_magnitude(exported[LOGITS] - truth.logits) / scale_of(truth.logits),
        "probabilities": probability_difference(exported[PROBABILITIES], truth.probabilities, truth.logits, activation),
    }


def _map_differences(
    exported: Mapping[str, Array], truth: ReferenceOutputs, head: Head, margin: float
) -> dict[MetricName, float]:
    """Compare the maps with those of the network."""
    classes = exported[CAM_CLASS].astype(int)
    differences = [_map_difference(exported[CAM], truth.maps_of(classes), truth)]
    if CAM_ALL in exported and truth.maps is not None:
        differences.append(_map_difference(exported[CAM_ALL], truth.maps, truth))
    misranked = misranked_maps(classes, truth.logits, tolerance=margin)
    misranked |= misordered_maps(classes, exported[LOGITS])
    values: dict[MetricName, float] = {
        "cam": largest_magnitude(*differences),
        "cam_class": float(misranked.sum()),
    }
    if head.bias is not None:
        own_logits = np.take_along_axis(exported[LOGITS], classes, axis=1)
        identity = logits_of_maps(exported[CAM], head) + head.bias[classes] - own_logits
        values["cam_identity"] = largest_magnitude(identity) / scale_of(np.append(truth.logits, head.bias))
    return values


def _map_difference(maps: Array, expected: Array, truth: ReferenceOutputs) -> float:
    """Return the largest difference between maps, relative to the largest value of the expected maps.

    For a linear head these are the maps of all classes. Of an image whose maps float32 does not determine, only NaN and
    infinity count.
    """
    difference = np.abs(maps - expected)
    if truth.determined is not None:
        compared = truth.determined[:, np.newaxis, np.newaxis, np.newaxis] | ~np.isfinite(difference)
        difference = np.where(compared, difference, 0.0)
    return largest_magnitude(difference) / scale_of(expected if truth.maps is None else truth.maps)
