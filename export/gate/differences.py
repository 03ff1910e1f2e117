"""How far answers are from Keras's, in numbers that stay not a number once a value is."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.contract import Activation
from camserve.export.graph.reference import Answers

__all__ = [
    "are_probabilities",
    "cosines",
    "larger",
    "largest_magnitude",
    "nonzero",
    "probabilities_difference",
    "wrong_ranks",
    "wrong_winners",
]

Array = npt.NDArray[Any]

_ROUNDING_OF_SUMS = 1e-3  # a thousand probabilities of float32, each rounded, and to spare


def largest_magnitude(values: Array) -> float:
    """The largest magnitude; not a number if any value is not."""
    return float(np.max(np.abs(values)))


def larger(known: float, values: Array) -> float:
    """The largest of a number and the magnitudes of others; not a number if any is not."""
    return float(np.maximum(known, largest_magnitude(values)))  # max would keep its left operand


def nonzero(scale: float) -> float:
    """What differences are divided by: the scale, and never 0."""
    return float(np.maximum(scale, np.finfo(np.float64).tiny))


def probabilities_difference(said: Array, keras: Answers, activation: Activation) -> float:
    """The largest difference of a probability; where they are logits, relative to the largest |logit| of Keras."""
    difference = largest_magnitude(said - keras.probabilities)
    return difference / nonzero(largest_magnitude(keras.logits)) if activation == "linear" else difference


def are_probabilities(values: Array, activation: Activation) -> bool:
    """Whether all lie between 0 and 1 and, after a softmax, those of an image sum to 1; up to rounding.

    Args:
        values: `[batch, classes]`.
        activation: What made them of the logits. After `linear` they are logits, of which nothing is asked.
    """
    if activation == "linear":
        return True
    between = (values >= -_ROUNDING_OF_SUMS) & (values <= 1 + _ROUNDING_OF_SUMS)
    whole = np.abs(values.sum(axis=1) - 1) <= _ROUNDING_OF_SUMS
    return bool(between.all() and (activation != "softmax" or whole.all()))


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
