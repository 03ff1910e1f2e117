"""How much alike two maps are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["rank_correlation"]

Array = npt.NDArray[Any]


def rank_correlation(first: Array, second: Array) -> float:
    """Return Spearman's rank correlation of two maps, from -1 to 1; NaN if one is constant or not finite.

    Law: this is `scipy.stats.spearmanr(first.ravel(), second.ravel()).statistic`.

    Args:
        first: A map.
        second: A map of the same shape.
    """
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return float("nan")
    ranks = [_ranks(each.ravel()) for each in (first, second)]
    centered = [each - each.mean() for each in ranks]
    norm = float(np.linalg.norm(centered[0]) * np.linalg.norm(centered[1]))
    return float(centered[0] @ centered[1]) / norm if norm else float("nan")


def _ranks(values: Array) -> npt.NDArray[np.float64]:
    """Return the rank of each value; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse.ravel()], np.float64)
