"""The distribution of latencies in buckets of equal relative width, whose memory does not grow with the requests."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["RELATIVE_ERROR", "Latencies"]

_BITS = 7
RELATIVE_ERROR = 0.5**_BITS / 2
"""Largest relative error of a percentile: half the width of a bucket. Mean and maximum are exact."""


@dataclass
class Latencies:
    """Latencies, counted in buckets.

    Source: the log-linear buckets of HdrHistogram, here 128 for each power of two nanoseconds.

    Attributes:
        count: Number of latencies.
        total: Their sum in seconds.
        maximum: The largest in seconds.
        buckets: Number of latencies by bucket.
    """

    count: int = 0
    total: float = 0.0
    maximum: float = 0.0
    buckets: Counter[int] = field(default_factory=Counter)

    def add(self, seconds: float) -> None:
        """Count a latency."""
        self.count += 1
        self.total += seconds
        self.maximum = max(self.maximum, seconds)
        self.buckets[_bucket(seconds)] += 1

    @classmethod
    def joined(cls, parts: Iterable[Latencies]) -> Latencies:
        """Return the latencies of all parts."""
        whole = cls()
        for part in parts:
            whole.count += part.count
            whole.total += part.total
            whole.maximum = max(whole.maximum, part.maximum)
            whole.buckets.update(part.buckets)
        return whole

    @property
    def mean(self) -> float:
        """The mean in seconds; NaN without latencies."""
        return self.total / self.count if self.count else math.nan

    def percentile(self, percent: float) -> float:
        """Return the latency in seconds that so many percent do not exceed; NaN without latencies."""
        rank = max(1, math.ceil(self.count * percent / 100))
        for bucket in sorted(self.buckets):
            rank -= self.buckets[bucket]
            if rank <= 0:
                return min(_middle(bucket), self.maximum)
        return math.nan


def _bucket(seconds: float) -> int:
    nanoseconds = max(0, int(seconds * 1e9))
    shift = max(0, nanoseconds.bit_length() - _BITS - 1)
    return (shift << _BITS) + (nanoseconds >> shift)


def _middle(bucket: int) -> float:
    """Return the middle of a bucket in seconds."""
    if bucket < 2 << _BITS:
        return bucket * 1e-9
    shift = (bucket >> _BITS) - 1
    low = (bucket - (shift << _BITS)) << shift
    return (low + (1 << shift) / 2) * 1e-9
