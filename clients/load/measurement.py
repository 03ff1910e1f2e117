"""The measurement of one load: windows, until three successive ones agree."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from camserve.clients.load.latencies import Latencies
from camserve.clients.load.messages import Begin, Counts
from camserve.clients.load.options import STABLE_WINDOWS, LoadLevel, LoadOptions
from camserve.clients.load.processes import Senders
from camserve.clients.load.results import LoadPoint, LoadWindow, ServerTimes
from camserve.clients.load.target import Target
from camserve.clients.load.windows import agree, confidence_interval, join, summarize
from camserve.clients.wire.values import Statistics
from camserve.cores import host_cores

__all__ = ["Listener", "LoadProgress", "Measurement"]

_START_SECONDS = 0.1
_BUSY_PROCESS = 0.8
"""CPU time of a sending process, as a share of one core, from which on it may limit the rate."""


@dataclass(frozen=True)
class LoadProgress:
    """A window that has ended.

    Attributes:
        level: The load.
        number: Number of the window, from 1; 0 while the load warms up.
        window: The window; None while the load warms up.
    """

    level: LoadLevel
    number: int
    window: LoadWindow | None


Listener = Callable[[LoadProgress], None]


class Measurement:
    """The measurement of one load.

    Args:
        target: The server.
        senders: The processes.
        options: How to measure.
        level: The load.
        count: Number of processes.
    """

    def __init__(self, target: Target, senders: Senders, options: LoadOptions, level: LoadLevel, count: int) -> None:
        self._target, self._senders, self._options, self._level, self._count = target, senders, options, level, count
        self._windows: list[Counts] = []
        self._host_cpu: list[float] = []
        self._statistics: list[Statistics | None] = []
        self._answered = time.perf_counter()

    def run(self, listener: Listener) -> LoadPoint:
        """Load the server until its windows are stable, or enough."""
        listener(LoadProgress(self._level, 0, None))
        options = self._options
        start = time.perf_counter() + _START_SECONDS
        first = start + options.warm_up
        self._senders.begin(_parts(self._level, options, start, first, self._count))
        time.sleep(max(0.0, first - time.perf_counter()))
        self._statistics.append(self._target.statistics())
        self._answered = time.perf_counter()
        try:
            stopped = self._collect(listener)
        finally:
            self._senders.end()
        return self._point(stopped)

    def _collect(self, listener: Listener) -> str | None:
        """Collect windows; return why the measurement had to stop early, or None."""
        while len(self._windows) < self._options.max_windows:
            parts = self._senders.counts(self._options.window)
            counts = join(parts)
            self._windows.append(counts)
            self._host_cpu.append(sum(part.cpu for part in parts))
            self._statistics.append(self._target.statistics() if counts.latencies.count else None)
            listener(LoadProgress(self._level, len(self._windows), self._window(counts)))
            problem = self._problem(counts)
            if problem is not None or self._is_stable():
                return problem
        return None

    def _is_stable(self) -> bool:
        random_arrivals = self._level.rate is not None and self._options.arrivals == "poisson"
        return agree(self._windows, self._options.stability, random_arrivals=random_arrivals)

    def _problem(self, counts: Counts) -> str | None:
        """Return why to measure no longer, or None."""
        if counts.latencies.count:
            self._answered = time.perf_counter()
            return None
        if counts.errors:
            reason, number = counts.errors.most_common(1)[0]
            return f"no request was answered in a window of {self._options.window:g} s; {number:,} failed: {reason}"
        timeout = self._options.connection.timeout
        if time.perf_counter() - self._answered > timeout:
            return f"the server answered nothing for {timeout:g} s"
        return None

    def _window(self, counts: Counts) -> LoadWindow:
        latencies = counts.latencies
        rate = latencies.count * self._options.batch / self._options.window
        return LoadWindow(latencies.count, counts.errors.total(), rate, latencies.mean, latencies.percentile(99))

    def _point(self, stopped: str | None) -> LoadPoint:
        options, last = self._options, self._windows[-1]
        stable = stopped is None and self._is_stable()
        reported = STABLE_WINDOWS if stable else len(self._windows)
        windows = self._windows[-reported:]
        latencies = Latencies.joined(each.latencies for each in windows)
        seconds = options.window * reported
        rates = [self._window(each).images_per_second for each in windows]
        client_cpu = sum(each.cpu for each in windows) / seconds
        return LoadPoint(
            level=self._level,
            images_per_second=latencies.count * options.batch / seconds,
            interval=confidence_interval(rates),
            requests_per_second=latencies.count / seconds,
            latency=summarize(latencies),
            answers=latencies.count,
            errors=dict(sum((each.errors for each in windows), Counter())),
            windows=[self._window(each) for each in self._windows],
            stable=stable,
            reported_windows=reported,
            late=sum(each.late for each in windows),
            unanswered=last.in_flight,
            oldest=last.oldest,
            client_cpu=client_cpu,
            host_share=sum(self._host_cpu[-reported:]) / seconds / host_cores(),
            client_limited=client_cpu > _BUSY_PROCESS,
            server=_server_times(self._statistics[-reported - 1 :]),
            stopped=stopped,
        )


def _parts(level: LoadLevel, options: LoadOptions, start: float, first: float, count: int) -> list[Begin]:
    """Return the part of each process."""
    parts = []
    for number in range(count):
        concurrency = rate = 0.0
        offset = None
        if level.concurrency is not None:
            concurrency = level.concurrency // count + (number < level.concurrency % count)
        if level.rate is not None:
            rate = level.rate / count
            offset = number / level.rate if options.arrivals == "constant" else None
        seed = options.seed * 1_000 + number
        parts.append(Begin(start, first, options.window, int(concurrency), rate, offset, seed))
    return parts


def _server_times(statistics: Sequence[Statistics | None]) -> ServerTimes | None:
    """Return the mean times of the requests between the first and the last statistics."""
    before, after = statistics[0], statistics[-1]
    if before is None or after is None or after.requests <= before.requests:
        return None
    requests = after.requests - before.requests
    return ServerTimes((after.queue - before.queue) / requests, (after.compute - before.compute) / requests)
