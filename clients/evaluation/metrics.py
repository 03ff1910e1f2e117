"""Metrics of answers whose true labels are known: pure functions of arrays."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from camserve.clients.evaluation.results import Calibration, CalibrationBin, ClassMetrics, Confusion, TopAccuracy
from camserve.shares import wilson_interval

__all__ = ["calibration", "class_metrics", "confusion_cells", "sign_test", "top_accuracies"]

Places = npt.NDArray[np.int32]
"""Places of labels in a list."""

_BINS = 10
_NEGLIGIBLE = 1e-18


def top_accuracies(hits: npt.NDArray[np.bool_]) -> tuple[TopAccuracy, ...]:
    """Return the accuracy for 1, 2, ... classes.

    Args:
        hits: Whether the class of a rank is the true one, `[images, ranks]`.
    """
    images, ranks = hits.shape
    found = np.logical_or.accumulate(hits, axis=1).sum(axis=0)
    return tuple(
        TopAccuracy(rank + 1, correct, correct / images, wilson_interval(correct, images))
        for rank in range(ranks)
        for correct in (int(found[rank]),)
    )


def class_metrics(truth: Places, best: Places, names: tuple[str, ...]) -> tuple[ClassMetrics, ...]:
    """Return the metrics of each class that is a true or a best one, sorted by label.

    Args:
        truth: The true class of each image, `[images]`.
        best: The best class of each image, `[images]`.
        names: The label of each class.
    """
    support, predicted, correct = (
        np.bincount(places, minlength=len(names)) for places in (truth, best, truth[truth == best])
    )
    occurring = np.flatnonzero(support + predicted)
    return tuple(
        ClassMetrics(names[place], int(support[place]), int(predicted[place]), int(correct[place]))
        for place in sorted(occurring, key=lambda place: names[place])
    )


def confusion_cells(truth: Places, best: Places, names: tuple[str, ...]) -> tuple[Confusion, ...]:
    """Return the cells of the confusion matrix that are not zero, sorted by labels; arguments as above."""
    pairs, numbers = np.unique(truth.astype(np.int64) * len(names) + best, return_counts=True)
    cells = (
        Confusion(names[pair // len(names)], names[pair % len(names)], int(number))
        for pair, number in zip(pairs, numbers, strict=True)
    )
    return tuple(sorted(cells, key=lambda cell: (cell.truth, cell.predicted)))


def calibration(probabilities: npt.NDArray[np.float64], correct: npt.NDArray[np.bool_]) -> Calibration | None:
    """Compare the probabilities of the best classes with the share of correct ones.

    Args:
        probabilities: Of the best class, `[images]`.
        correct: Whether it is the true class, `[images]`.

    Returns:
        None if a value is no probability.
    """
    if probabilities.min() < 0 or probabilities.max() > 1 + 1e-6:  # rounding in float32
        return None
    places = np.digitize(probabilities, np.arange(1, _BINS) / _BINS, right=True)
    bins = tuple(_bin(place, probabilities[places == place], correct[places == place]) for place in range(_BINS))
    differences = [
        each.images * abs(each.probability - each.accuracy)
        for each in bins
        if each.probability is not None and each.accuracy is not None
    ]
    return Calibration(math.fsum(differences) / len(correct), float(probabilities.mean()), bins)


def _bin(place: int, probabilities: npt.NDArray[np.float64], correct: npt.NDArray[np.bool_]) -> CalibrationBin:
    means = (float(probabilities.mean()), float(correct.mean())) if len(correct) else (None, None)
    return CalibrationBin(place / _BINS, (place + 1) / _BINS, len(correct), *means)


def sign_test(first: int, second: int) -> float:
    """Return the p-value of the exact two-sided sign test.

    Args:
        first: Number of images that only the first table classifies correctly.
        second: Number of images that only the second table classifies correctly.

    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions or percentages";
    exact: twice the tail of the binomial distribution with p = 1/2.
    """
    images, fewer = first + second, min(first, second)
    if first == second:
        return 1.0
    logarithm = math.lgamma(images + 1) - math.lgamma(fewer + 1) - math.lgamma(images - fewer + 1)
    tail = term = 1.0  # in units of the term at `fewer`, from which the others decrease
    for count in range(fewer, 0, -1):
        term *= count / (images - count + 1)
        tail += term
        if term < _NEGLIGIBLE * tail:
            break
    return min(1.0, 2 * math.exp(logarithm - images * math.log(2)) * tail)
