from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from camserve.clients.load.latencies import RELATIVE_ERROR, Latencies


def counted(values: Any) -> Latencies:
    latencies = Latencies()
    for value in values.tolist():
        latencies.add(value)
    return latencies


@pytest.mark.parametrize("percent", [1, 50, 90, 99, 99.5, 100])
def test_percentiles_are_those_of_numpy_within_the_stated_error(percent: float) -> None:
    values = np.random.default_rng(3).lognormal(-5, 1.5, 20_011)
    exact = np.percentile(values, percent, method="inverted_cdf")
    assert counted(values).percentile(percent) == pytest.approx(exact, rel=RELATIVE_ERROR)


def test_mean_and_maximum_are_exact_and_memory_is_bounded() -> None:
    values = np.random.default_rng(4).uniform(1e-4, 10, 50_000)
    latencies = counted(values)
    assert latencies.mean == pytest.approx(values.mean(), rel=1e-9)
    assert latencies.maximum == values.max()
    assert len(latencies.buckets) < 18 * 128


def test_joined_parts_are_the_whole() -> None:
    values = np.random.default_rng(5).exponential(0.01, 3_000)
    joined = Latencies.joined([counted(values[:1_000]), counted(values[1_000:])])
    whole = counted(values)
    assert (joined.buckets, joined.count, joined.maximum) == (whole.buckets, whole.count, whole.maximum)


def test_no_latency_has_no_percentile() -> None:
    assert math.isnan(Latencies().percentile(99))
    assert math.isnan(Latencies().mean)
