"""Answers that the user expects for images, and how far a model's answers are from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ExpectedAnswers", "Score", "both_classes"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Score:
    """How far answers are from the expected ones.

    Attributes:
        differences: The largest difference of a probability, `[images]`; for expected classes, by how much the
            probability of the expected class is below that of the best one.
        squares: The sum of the squared differences of the probabilities, `[images]`; zeros for expected classes.
    """

    differences: Array
    squares: Array


@dataclass(frozen=True, eq=False)
class ExpectedAnswers:
    """Expected answers; one sigmoid counts as two classes, 1 - p and p.

    Attributes:
        classes: The expected class of each image, `[images]`.
        probabilities: Float64 `[images, classes]`; None if only classes are expected.
    """

    classes: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, images: slice | Sequence[int]) -> ExpectedAnswers:
        """Return the answers to some of the images."""
        return ExpectedAnswers(self.classes[images], None if self.probabilities is None else self.probabilities[images])

    def score(self, answers: Array) -> Score:
        """Compare answers with the expected ones; values that are not finite are infinitely far away.

        Args:
            answers: Probabilities `[images, classes]`, or `[images, 1]` of one sigmoid.
        """
        found = both_classes(np.asarray(answers, np.float64))
        if self.probabilities is None:
            own = np.take_along_axis(found, self.classes[:, np.newaxis], axis=1)[:, 0]
            return Score(_finite(found.max(axis=1) - own), np.zeros(len(found)))
        scale = max(1.0, float(np.abs(self.probabilities).max()))  # larger only for answers that are logits
        differences = np.abs(found - self.probabilities) / scale
        return Score(_finite(differences.max(axis=1)), _finite((differences**2).sum(axis=1)))


def both_classes(probabilities: Array) -> Array:
    """Return the probabilities of two classes, 1 - p and p, for those of one sigmoid; others are unchanged."""
    if probabilities.shape[1] > 1:
        return probabilities
    return np.concatenate([1 - probabilities, probabilities], axis=1)


def _finite(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.inf)
