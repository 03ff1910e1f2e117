"""The options of a load measurement, and their checks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from camserve.clients.wire.connection_options import ConnectionOptions
from camserve.cores import host_cores
from camserve.errors import UsageError
from camserve.tensors import PROBABILITIES
from camserve.text import suggest

__all__ = ["Arrivals", "LoadLevel", "LoadOptions"]

Arrivals = Literal["poisson", "constant"]
"""When requests of an open loop start: at random with a mean rate, or at equal intervals."""

STABLE_WINDOWS = 3
"""Number of successive windows that must agree."""

_MOST_PROCESSES = 8
_MOST_IN_FLIGHT = 4_096


@dataclass(frozen=True)
class LoadLevel:
    """One load: a number of requests in flight, or requests per second.

    Attributes:
        concurrency: Requests that are always in flight (closed loop); None in an open loop.
        rate: Requests that start per second, whatever the answers do (open loop); None in a closed loop.
    """

    concurrency: int | None = None
    rate: float | None = None

    def __str__(self) -> str:
        return f"{self.rate:g} requests/s" if self.concurrency is None else f"concurrency {self.concurrency}"


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How to load a server.

    Attributes:
        concurrency: Numbers of requests in flight, each measured in turn (closed loop; default: 1, without `rate`).
        rate: Requests per second, each measured in turn (open loop), instead of `concurrency`.
        arrivals: When requests of an open loop start.
        batch: Images per request.
        outputs: Names of the outputs to request.
        window: Seconds of a window.
        max_windows: Windows after which a load is reported as not stable.
        stability: Largest relative difference from their mean, of request rates and mean latencies of three successive
            windows, at which a load is stable.
        warm_up: Seconds of load before the first window, which are not measured.
        processes: Processes that send requests (default: half of the cores, at most 8).
        images: Paths of images to send (default: random pixels).
        seed: Seed of the random pixels and the arrivals.
        version: Version of the model (default: the newest that is served).
        connection: Deadlines, encryption, authorization and shared memory. `timeout` is the time after which a server
            that answers nothing is reported.

    Raises:
        UsageError: If a value is invalid.
    """

    concurrency: Sequence[int] = ()
    rate: Sequence[float] = ()
    arrivals: Arrivals = "poisson"
    batch: int = 1
    outputs: Sequence[str] = (PROBABILITIES,)
    window: float = 2.0
    max_windows: int = 10
    stability: float = 0.05
    warm_up: float = 1.0
    processes: int | None = None
    images: Sequence[str] = ()
    seed: int = 0
    version: str = ""
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)

    def __post_init__(self) -> None:
        if self.concurrency and self.rate:
            raise UsageError("concurrency and rate exclude each other", hint="Pass --concurrency or --rate")
        for name in ("concurrency", "rate"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            for value in getattr(self, name):
                _check(name, value, value > 0 and math.isfinite(value), "positive")
        for number in self.concurrency:
            _check("concurrency", number, number <= _MOST_IN_FLIGHT, f"at most {_MOST_IN_FLIGHT:,}")
        if self.arrivals not in get_args(Arrivals):
            choices = get_args(Arrivals)
            hint = suggest(self.arrivals, choices) or f"Choose one of: {', '.join(choices)}"
            raise UsageError(f"arrivals must be one of {', '.join(choices)}, got {self.arrivals!r}", hint=hint)
        _check("batch", self.batch, self.batch >= 1, "at least 1")
        _check("window", self.window, self.window >= 0.05 and math.isfinite(self.window), "at least 0.05 s")
        _check("max_windows", self.max_windows, self.max_windows >= STABLE_WINDOWS, f"at least {STABLE_WINDOWS}")
        _check("stability", self.stability, 0 < self.stability < 1, "between 0 and 1")
        _check("warm_up", self.warm_up, self.warm_up >= 0 and math.isfinite(self.warm_up), "at least 0 s")
        if self.processes is not None:
            _check("processes", self.processes, 1 <= self.processes <= 64, "from 1 to 64")
        if not self.outputs:
            raise UsageError("outputs must name at least one output", hint=f"Pass for example {PROBABILITIES}")

    @property
    def levels(self) -> tuple[LoadLevel, ...]:
        """The loads, in order."""
        if self.rate:
            return tuple(LoadLevel(rate=rate) for rate in self.rate)
        return tuple(LoadLevel(concurrency=number) for number in self.concurrency or (1,))

    @property
    def process_count(self) -> int:
        """The number of processes that send requests."""
        return self.processes or max(1, min(host_cores() // 2, _MOST_PROCESSES))


def _check(name: str, value: float, valid: bool, rule: str) -> None:
    if not valid:
        raise UsageError(f"{name} must be {rule}, got {value:g}")
