"""Measure an exported file in float32 against Keras, value by value.

Every metric is measured on the file as it was written, against the original network in Keras, on the same inputs.
Logits are compared as well as probabilities, because a saturated softmax hides errors. Half precision and int8 round
every value and are measured by `camserve.export.gate.agreement`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
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
from camserve.export.gate.tolerances import Tolerances
from camserve.export.graph.head import LinearHead
from camserve.export.graph.reference import ReferenceOutputs, logits_of_maps
from camserve.tensors import CAM, CAM_ALL, CAM_CLASS, LOGITS, PROBABILITIES

__all__ = ["BATCHES", "measure_parity"]

BATCHES = (1, 3, 8)
"""Batch sizes that are measured: one image, an odd batch, and the largest that is served by default."""

Array = npt.NDArray[Any]


def measure_parity(
    format_name: str,
    run: Runner,
    batches: Sequence[tuple[npt.NDArray[Any], ReferenceOutputs]],
    head: LinearHead | None,
    tolerances: Tolerances,
    *,
    activation: Activation = "softmax",
) -> list[Metric]:
    """Measure an exported file on batches for which Keras's answers are known.

    Args:
        format_name: `onnx` or `savedmodel`.
        run: Runs the file.
        batches: Inputs of the file, with Keras's answers.
        head: The linear head, or None without maps.
        tolerances: The tolerances.
        activation: What turns logits into probabilities.

    Returns:
        The metrics of each batch.
    """
    limits = {**asdict(tolerances), "probabilities": tolerances.of_probabilities(activation)}
    metrics = []
    for images, keras in batches:
        exported = {name: np.asarray(value, np.float64) for name, value in run(images).items()}
        values = _score_differences(exported, keras, tolerances, activation)
        if head is not None and keras.maps is not None:
            values |= _map_differences(exported, keras.logits, keras.maps, head, tolerances)
        metrics += [
            Metric(format_name, name, len(images), value, limits.get(name, 0.0)) for name, value in values.items()
        ]
    return metrics


def _score_differences(
    exported: Mapping[str, Array], keras: ReferenceOutputs, tolerances: Tolerances, activation: Activation
) -> dict[MetricName, float]:
    scale = scale_of(keras.logits)
    winners = other_winners(exported[LOGITS], keras.logits, tolerance=2 * tolerances.logits * scale)
    return {
        "logits": largest_magnitude(exported[LOGITS] - keras.logits) / scale,
        "probabilities": probability_difference(exported[PROBABILITIES], keras.probabilities, keras.logits, activation),
        "top1": float(winners.sum()),
    }


def _map_differences(
    exported: Mapping[str, Array], logits: Array, maps: Array, head: LinearHead, tolerances: Tolerances
) -> dict[MetricName, float]:
    """Compare the maps with those of Keras, `[batch, classes, height, width]`."""
    scale, map_scale = scale_of(logits), scale_of(maps)
    classes = exported[CAM_CLASS].astype(int)
    expected = np.take_along_axis(maps, classes[:, :, np.newaxis, np.newaxis], axis=1)
    differences = [(exported[CAM] - expected) / map_scale]
    if CAM_ALL in exported:
        differences.append((exported[CAM_ALL] - maps) / map_scale)
    misranked = misranked_maps(classes, logits, tolerance=2 * tolerances.logits * scale)
    misranked |= misordered_maps(classes, exported[LOGITS])
    own_logits = np.take_along_axis(exported[LOGITS], classes, axis=1)
    identity = logits_of_maps(exported[CAM], head) + head.bias[classes] - own_logits
    return {
        "cam": largest_magnitude(*differences),
        "cam_class": float(misranked.sum()),
        "cam_identity": largest_magnitude(identity) / scale,
    }
