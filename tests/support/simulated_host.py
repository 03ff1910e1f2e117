"""A host whose candidates have known speeds, measured with noise: for tests of the search of `camserve tune`."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from camserve.errors import ServerError
from camserve.tune.choices import Candidate, Choices
from camserve.tune.readings import Reading

__all__ = ["SimulatedHost"]

_OVERHEAD, _LOAD = 0.4, 3.0
"""Seconds of a reading beside its length, and of loading a candidate."""

_WINDOWS = 4


class SimulatedHost:
    """Measures like the embedded Triton, with a clock of its own.

    A batch of n images takes (a + b n) / threads^0.8, with a and b of bundle and backend. Instances share the cores.

    Args:
        seed: Decides the speeds of bundles and backends, and the noise.
        seconds: How long measuring may take.
        noise: Relative standard deviation of a reading.
        drift: By how much the host becomes slower and faster again, in the course of a minute.
        broken: Candidates that fail.
    """

    def __init__(
        self,
        seed: int,
        seconds: float = 1e9,
        *,
        cores: int = 2,
        noise: float = 0.02,
        drift: float = 0.05,
        broken: Iterable[Candidate] = (),
    ) -> None:
        self._seed = seed
        self._random = np.random.default_rng(seed + 10_000)
        self._cores, self._noise, self._drift = cores, noise, drift
        self._costs: dict[tuple[str, str], tuple[float, float]] = {}
        self._loaded: set[Candidate] = set()
        self._broken = set(broken)
        self._seconds = seconds
        self.now = 0.0
        self.readings = 0

    def left(self) -> float:
        """Return the seconds that are left."""
        return self._seconds - self.now

    def read(self, candidate: Candidate, concurrency: int, seconds: float) -> Reading:
        """Measure a candidate: its true speed, with noise and drift."""
        if candidate not in self._loaded:
            self._loaded.add(candidate)
            self.now += _LOAD
        if candidate in self._broken:
            raise ServerError("it does not give the golden answers")
        self.now += seconds + _OVERHEAD
        self.readings += 1
        rate, p99 = self.truth(candidate, concurrency)
        slowdown = 1 + self._drift * math.sin(self.now / 60 * 2 * math.pi)
        common = self._random.normal(0, self._noise)
        rates = [rate / slowdown * math.exp(common + self._random.normal(0, self._noise)) for _ in range(_WINDOWS)]
        jitter = slowdown * math.exp(self._random.normal(0, 2 * self._noise))
        return Reading(tuple(rates), 0.7 * p99 * jitter, p99 * jitter)

    def truth(self, candidate: Candidate, concurrency: int) -> tuple[float, float]:
        """Return the images per second and the p99 in milliseconds of a candidate without noise."""
        fixed, each = self._cost(candidate)
        busy = min(candidate.instances, concurrency)
        batch = max(1, min(candidate.max_batch_size, concurrency // busy))
        threads = min(candidate.threads, self._cores) ** 0.8
        crowding = max(1.0, busy * min(candidate.threads, self._cores) / self._cores)
        compute = (fixed + each * batch) / threads * crowding
        if isinstance(candidate.batch_sizes, tuple) and batch in candidate.batch_sizes:
            compute *= 0.98
        wait = 0.0 if batch in (1, candidate.max_batch_size) else candidate.max_queue_delay_us / 1e6
        rate = busy * batch / (compute + wait)
        return rate, 1.3 * concurrency / rate * 1000

    def best(self, candidates: Iterable[Candidate], choices: Choices, limit: float | None) -> float:
        """Return the images per second of the truly best candidate within a limit."""
        points = (self.truth(each, level) for each in candidates for level in choices.concurrencies)
        return max((rate for rate, p99 in points if limit is None or p99 <= limit), default=0.0)

    def grid_seconds(self, candidates: Iterable[Candidate], choices: Choices, rounds: int, seconds: float) -> float:
        """Return how long it takes to measure every candidate at every concurrency."""
        levels = len(choices.concurrencies)
        return sum(_LOAD + levels * rounds * (seconds + _OVERHEAD) for _ in candidates)

    def _cost(self, candidate: Candidate) -> tuple[float, float]:
        key = (candidate.bundle, candidate.backend)
        if key not in self._costs:
            random = np.random.default_rng([self._seed, *"".join(key).encode()])
            self._costs[key] = (float(random.uniform(0.0005, 0.006)), float(random.uniform(0.003, 0.012)))
        return self._costs[key]
