"""Intervals and correlations equal those of scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from camserve.export.quality.similarity import rank_correlation
from camserve.export.quality.statistics import mean_interval


@pytest.mark.parametrize("count", range(2, 17))
def test_interval_of_a_mean_equals_that_of_scipy(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    expected = scipy.stats.t.interval(0.95, count - 1, values.mean(), scipy.stats.sem(values))
    assert mean_interval(values) == pytest.approx(expected, abs=1e-4)


def test_one_value_has_no_interval() -> None:
    assert mean_interval(np.ones(1)) is None


@pytest.mark.parametrize("levels", [3, 1000])
def test_rank_correlation_equals_that_of_scipy(levels: int) -> None:
    first, second = np.random.default_rng(levels).integers(0, levels, (2, 7, 7))
    expected = scipy.stats.spearmanr(first.ravel(), second.ravel()).statistic
    assert rank_correlation(first, second) == pytest.approx(expected, abs=1e-12)


def test_constant_and_infinite_maps_have_no_correlation() -> None:
    values = np.arange(4.0).reshape(2, 2)
    assert np.isnan(rank_correlation(values, np.ones((2, 2))))
    assert np.isnan(rank_correlation(values, np.full((2, 2), np.inf)))
