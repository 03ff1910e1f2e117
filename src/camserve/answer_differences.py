"""How far a model's answers are from reference answers: the arithmetic of the parity gate and of the golden answers.

Largest values are NaN as soon as one value is NaN, so that comparing them with a tolerance fails.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.contract import Activation
from camserve.ranking import rank_classes

__all__ = [
    "are_probabilities",
    "cosines",
    "largest_difference",
    "largest_magnitude",
    "misordered_maps",
    "misranked_maps",
    "other_winners",
    "probability_difference",
    "scale_of",
]

Array = npt.NDArray[Any]

_ROUNDING_OF_SUMS = 1e-3  # a thousand float32 probabilities, each rounded


def largest_magnitude(*values: Array | float) -> float:
    """Return the largest magnitude in all arrays and numbers; NaN if any value is NaN."""
    return float(np.max([np.max(np.abs(part)) for part in values]))


def scale_of(reference: Array | float) -> float:
    """Return what a relative difference is divided by: the largest magnitude of the reference, and never 0."""
    return float(np.maximum(largest_magnitude(reference), np.finfo(np.float64).tiny))


def largest_difference(answers: Array, reference: Array) -> Array:
    """Return the largest absolute difference in each image: `[batch]` from two arrays `[batch, ...]`."""
    distances: Array = np.abs(answers - reference).reshape(len(answers), -1).max(axis=1)
    return distances


def probability_difference(probabilities: Array, reference: Array, logits: Array, activation: Activation) -> float:
    """Return the largest difference of a probability.

    Args:
        probabilities: `[batch, classes]`.
        reference: The reference probabilities, of the same shape.
        logits: The reference logits. After the activation `linear`, probabilities are logits, and the difference is
            relative to the largest |logit|.
        activation: What turns logits into probabilities.
    """
    difference = largest_magnitude(probabilities - reference)
    return difference / scale_of(logits) if activation == "linear" else difference


def are_probabilities(values: Array, activation: Activation) -> bool:
    """Return whether values are probabilities up to rounding: in [0, 1] and, after a softmax, with a sum of 1.

    Args:
        values: `[batch, classes]`.
        activation: What turned logits into them. After `linear` they are logits, and any value is valid.
    """
    if activation == "linear":
        return True
    in_range = (values >= -_ROUNDING_OF_SUMS) & (values <= 1 + _ROUNDING_OF_SUMS)
    sum_to_one = np.abs(values.sum(axis=1) - 1) <= _ROUNDING_OF_SUMS
    return bool(in_range.all() and (activation != "softmax" or sum_to_one.all()))


def cosines(maps: Array, reference: Array) -> Array:
    """Return the cosine between each map and its reference.

    Args:
        maps: `[..., height, width]`.
        reference: The same shape.

    Returns:
        `[...]`; 1 where both maps are zero everywhere, 0 where only one is, NaN where a value is NaN.
    """
    flat, other = (values.reshape(*values.shape[:-2], -1).astype(np.float64) for values in (maps, reference))
    lengths = np.linalg.norm(flat, axis=-1), np.linalg.norm(other, axis=-1)
    product = lengths[0] * lengths[1]
    both_zero = (lengths[0] == 0) & (lengths[1] == 0)
    result: Array = np.where(both_zero, 1.0, np.sum(flat * other, axis=-1) / np.where(product == 0, 1.0, product))
    return result


def other_winners(scores: Array, reference: Array, *, tolerance: float) -> npt.NDArray[np.bool_]:
    """Return for each image whether its best class is another one than in the reference.

    Args:
        scores: `[batch, classes]`.
        reference: Reference scores, of the same shape.
        tolerance: Classes whose reference scores differ by no more than this count as equal.

    Returns:
        `[batch]`.
    """
    chosen = np.take_along_axis(reference, scores.argmax(axis=1)[:, np.newaxis], axis=1)[:, 0]
    others: npt.NDArray[np.bool_] = ~(reference.max(axis=1) - chosen <= tolerance)
    return others


def misordered_maps(classes: Array, scores: Array) -> npt.NDArray[np.bool_]:
    """Return for each map whether its class is not the one of that rank in the scores of the same answer.

    Args:
        classes: Class of each map, best first: `[batch, maps]`.
        scores: The logits that were returned with them, `[batch, classes]`; equal ones are ranked by class number.

    Returns:
        `[batch, maps]`.
    """
    misordered: npt.NDArray[np.bool_] = classes != rank_classes(scores)[:, : classes.shape[1]]
    return misordered


def misranked_maps(classes: Array, reference: Array, *, tolerance: float) -> npt.NDArray[np.bool_]:
    """Return for each map whether its class is not the one of that rank in the reference, or has a map already.

    Args:
        classes: Class of each map, best first: `[batch, maps]`.
        reference: Reference scores, `[batch, classes]`.
        tolerance: Classes whose reference scores differ by no more than this count as equal.

    Returns:
        `[batch, maps]`.
    """
    ranked = -np.sort(-reference, axis=1)[:, : classes.shape[1]]
    chosen = np.take_along_axis(reference, classes, axis=1)
    repeated = np.tril(classes[:, :, np.newaxis] == classes[:, np.newaxis, :], k=-1).any(axis=2)
    misranked: npt.NDArray[np.bool_] = repeated | ~(np.abs(ranked - chosen) <= tolerance)
    return misranked
