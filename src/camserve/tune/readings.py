"""Readings of candidates, and what follows from several of them: intervals, comparisons and a limit that holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

from camserve.clients.load.windows import confidence_interval, student_t

__all__ = ["Reading", "expected_p99", "is_slower", "mean_rate", "rate_interval"]

_FEWEST = 3
"""Readings from which on the spread between readings is known."""

_DRIFT = 0.03
"""Relative half width of an interval from fewer readings, at least: its windows share the drift of a host."""


@dataclass(frozen=True)
class Reading:
    """One measurement of a candidate at one load.

    Attributes:
        rates: Images per second in each of its windows.
        p50_ms: Median latency in milliseconds.
        p99_ms: 99th percentile of latencies in milliseconds.
        client_limited: Whether the load generator may have been the limit.
    """

    rates: tuple[float, ...]
    p50_ms: float
    p99_ms: float
    client_limited: bool = False

    @property
    def rate(self) -> float:
        """Images per second."""
        return fmean(self.rates)


def mean_rate(readings: Sequence[Reading]) -> float:
    """Return the mean of images per second."""
    return fmean(each.rate for each in readings)


def rate_interval(readings: Sequence[Reading]) -> tuple[float, float]:
    """Return the 95 % confidence interval of the mean of images per second (Student's t).

    From three readings on it is that of their means; before, that of all windows, and at least 3 % to both sides.
    """
    if len(readings) >= _FEWEST:
        return confidence_interval([each.rate for each in readings])
    low, high = confidence_interval([rate for each in readings for rate in each.rates])
    mean = mean_rate(readings)
    return (max(0.0, min(low, mean * (1 - _DRIFT))), max(high, mean * (1 + _DRIFT)))


def is_slower(readings: Mapping[int, Reading], others: Mapping[int, Reading], ratio: float) -> bool:
    """Return whether a candidate is certainly slower than `ratio` times another one.

    Rounds in which both were measured are compared in pairs, since a host that slows down slows both; the interval is
    that of the mean logarithm of their ratio. With fewer than three such rounds, the intervals must not overlap.

    Args:
        readings: Readings of the candidate by round.
        others: Readings of the other one by round.
        ratio: The share of the other's images per second.
    """
    shared = sorted(readings.keys() & others.keys())
    if len(shared) < _FEWEST:
        return rate_interval(list(readings.values()))[1] < ratio * rate_interval(list(others.values()))[0]
    tiny = 1e-9
    logarithms = [math.log(max(readings[each].rate, tiny) / max(others[each].rate, tiny)) for each in shared]
    half = student_t(len(shared) - 1) * stdev(logarithms) / math.sqrt(len(shared))
    return fmean(logarithms) + half < math.log(ratio)


def expected_p99(readings: Sequence[Reading], *, certain: bool) -> float:
    """Return the p99 to expect of a further reading, in milliseconds.

    Args:
        readings: The readings; none of them is the first one after a start.
        certain: Whether to return the upper bound of a further reading, which it exceeds in one of 40 cases (Student's
            t of the logarithms), rather than the median.
    """
    values = [each.p99_ms for each in readings]
    if not certain:
        return median(values)
    if len(values) < 2:
        return math.inf
    logarithms = [math.log(max(value, 1e-6)) for value in values]
    if not all(map(math.isfinite, logarithms)):
        return math.inf
    half = student_t(len(values) - 1) * stdev(logarithms) * math.sqrt(1 + 1 / len(values))
    return math.exp(fmean(logarithms) + half)
