from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from camserve.clients.load.messages import Counts
from camserve.clients.load.windows import agree, confidence_interval, join


def windows(counts: Sequence[int], seconds: Sequence[float] = ()) -> list[Counts]:
    made = []
    for number, each in zip(counts, seconds or [0.01] * len(counts), strict=True):
        window = Counts()
        for _ in range(number):
            window.latencies.add(each)
        made.append(window)
    return made


def test_three_equal_windows_agree_and_two_do_not() -> None:
    assert agree(windows([100, 102, 98]), 0.05)
    assert not agree(windows([100, 102]), 0.05)


def test_a_rate_or_a_latency_outside_the_stability_does_not_agree() -> None:
    assert not agree(windows([100, 100, 120]), 0.05)
    assert not agree(windows([100, 100, 100], [0.01, 0.01, 0.012]), 0.05)


def test_only_the_last_three_windows_count() -> None:
    assert agree(windows([10, 100, 100, 100]), 0.05)
    assert not agree(windows([100, 100, 100, 10]), 0.05)


def test_few_answers_never_agree() -> None:
    assert not agree(windows([4, 4, 4]), 0.05)


def test_random_arrivals_may_differ_by_their_noise() -> None:
    counts = windows([90, 105, 105])
    assert agree(counts, 0.05, random_arrivals=True)
    assert not agree(counts, 0.05)


@pytest.mark.parametrize("number", [2, 3, 10, 31])
def test_the_interval_is_that_of_students_t(number: int) -> None:
    rates = np.random.default_rng(number).normal(100, 5, number)
    expected = stats.t.interval(0.95, number - 1, rates.mean(), stats.sem(rates))
    assert confidence_interval(rates.tolist()) == pytest.approx(expected, rel=2e-4)


def test_one_window_has_no_interval() -> None:
    assert confidence_interval([5.0]) == (0.0, math.inf)


def test_joined_counts_keep_errors_and_the_busiest_process() -> None:
    first, second = windows([3, 4])
    first.errors["full"], second.errors["full"] = 2, 5
    first.cpu, second.cpu, second.oldest = 0.5, 0.2, 3.0
    whole = join([first, second])
    assert (whole.latencies.count, whole.errors["full"], whole.cpu, whole.oldest) == (7, 7, 0.5, 3.0)
