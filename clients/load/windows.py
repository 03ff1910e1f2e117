"""What windows of counts amount to: whether they agree, and the rate with its confidence interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from camserve.clients.load.latencies import Latencies
from camserve.clients.load.messages import Counts
from camserve.clients.load.options import STABLE_WINDOWS
from camserve.clients.load.results import LatencySummary

__all__ = ["agree", "confidence_interval", "join", "student_t", "summarize"]

# Quantiles 0.975 of Student's t distribution for 1, 2, ... degrees of freedom; the normal distribution's from 31 on.
_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
_NORMAL = 1.960
_FEWEST_ANSWERS = 5


def join(parts: Sequence[Counts]) -> Counts:
    """Return what all processes counted in one window; `cpu` is that of the busiest process."""
    whole = Counts(Latencies.joined(part.latencies for part in parts))
    for part in parts:
        whole.errors.update(part.errors)
        whole.late += part.late
        whole.in_flight += part.in_flight
    whole.cpu = max(part.cpu for part in parts)
    whole.oldest = max(part.oldest for part in parts)
    return whole


def agree(windows: Sequence[Counts], stability: float, *, random_arrivals: bool = False) -> bool:
    """Return whether the last three windows agree.

    Their numbers of answers and their mean latencies must differ from their mean by at most `stability` of it. Each
    window needs at least 5 answers: fewer would agree by chance.

    Args:
        windows: All windows.
        stability: The largest relative difference.
        random_arrivals: Whether requests arrive at random, by which numbers differ even if the server is stable: three
            standard deviations of a Poisson distribution are allowed if that is more.
    """
    last = windows[-STABLE_WINDOWS:]
    if len(last) < STABLE_WINDOWS or min(each.latencies.count for each in last) < _FEWEST_ANSWERS:
        return False
    numbers = [each.latencies.count for each in last]
    noise = 3 / math.sqrt(fmean(numbers)) if random_arrivals else 0.0
    return _near(numbers, max(stability, noise)) and _near([each.latencies.mean for each in last], stability)


def confidence_interval(rates: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % confidence interval of the mean of rates of windows, which are taken as independent."""
    if len(rates) < 2:
        return (0.0, math.inf)
    half = student_t(len(rates) - 1) * stdev(rates) / math.sqrt(len(rates))
    return (max(0.0, fmean(rates) - half), fmean(rates) + half)


def student_t(degrees: int) -> float:
    """Return the quantile 0.975 of Student's t distribution for at least 1 degree of freedom."""
    return _T[degrees - 1] if degrees <= len(_T) else _NORMAL


def summarize(latencies: Latencies) -> LatencySummary:
    """Return percentiles, maximum and mean."""
    p50, p90, p95, p99 = (latencies.percentile(percent) for percent in (50, 90, 95, 99))
    maximum = latencies.maximum if latencies.count else math.nan
    return LatencySummary(p50, p90, p95, p99, maximum, latencies.mean)


def _near(values: Sequence[float], stability: float) -> bool:
    mean = fmean(values)
    return all(abs(value - mean) <= stability * mean for value in values)
