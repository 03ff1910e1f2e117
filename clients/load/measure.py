"""Measure a server under load: windows, until three successive ones agree."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType

from camserve.clients.load.measurement import Listener, LoadProgress, Measurement
from camserve.clients.load.messages import SenderSetup
from camserve.clients.load.options import LoadLevel, LoadOptions
from camserve.clients.load.processes import Senders
from camserve.clients.load.results import LoadPoint, LoadResult
from camserve.clients.load.target import open_target
from camserve.clients.wire.connection_options import is_local, parse_urls
from camserve.cores import host_cores
from camserve.errors import UsageError

__all__ = ["LoadMeter", "measure_load"]


def measure_load(
    url: str, model: str, options: LoadOptions | None = None, *, on_window: Listener | None = None
) -> LoadResult:
    """Measure how fast a server answers, and how long each answer takes, at one or several loads.

    In a closed loop, each answer is followed by the next request, so that a slow server receives fewer of them. In an
    open loop, requests start at the times of a schedule, and their latencies count from these times even if they could
    not be sent: a server that stalls delays every request that was due meanwhile (no coordinated omission).

    Args:
        url: Address of the server, `HOST:PORT`.
        model: Name of the model.
        options: The loads, and how to measure them (default: one request in flight).
        on_window: Called with each window, in this thread.

    Raises:
        UsageError: If an option is invalid for the model, or several servers are passed.
        ImageError: If an image cannot be read.
        ClientError: If the server does not answer a first request correctly, or a sending process fails.
    """
    options = options or LoadOptions()
    with LoadMeter(url, model, options) as meter:
        return meter.result([meter.measure(level, on_window=on_window) for level in options.levels])


class LoadMeter:
    """A server that is measured at one load after the other, with the same sending processes, as a context manager.

    Args:
        url: Address of the server, `HOST:PORT`.
        model: Name of the model.
        options: How to load it. `concurrency` or `rate` limits the number of processes.

    Raises:
        UsageError: If several servers are passed.
    """

    def __init__(self, url: str, model: str, options: LoadOptions) -> None:
        if len(parse_urls(url)) > 1:
            raise UsageError(f"url must be one server, got {url}", hint="Measure each server, or a proxy before them")
        self._url, self._model, self._options = url, model, options
        self._count = min(options.process_count, *options.concurrency or (options.process_count,))
        self._resources = ExitStack()

    def __enter__(self) -> LoadMeter:
        with ExitStack() as resources:
            self._target = resources.enter_context(open_target(self._url, self._model, self._options))
            setup = SenderSetup(self._url, self._options.connection, self._target.requests, self._target.answer_bytes)
            self._senders = resources.enter_context(Senders(setup, self._count))
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def measure(
        self, level: LoadLevel, *, options: LoadOptions | None = None, on_window: Listener | None = None
    ) -> LoadPoint:
        """Measure one load.

        Args:
            level: The load.
            options: Length and number of the windows, and the warm-up (default: those of the meter).
            on_window: Called with each window, in this thread.

        Raises:
            ClientError: If a sending process fails.
        """
        measurement = Measurement(self._target, self._senders, options or self._options, level, self._count)
        return measurement.run(on_window or _ignore)

    def result(self, points: Sequence[LoadPoint]) -> LoadResult:
        """Return points with what they have in common."""
        return LoadResult(
            url=self._url,
            model=self._model,
            version=self._target.model.version,
            batch=self._options.batch,
            processes=self._count,
            cores=host_cores(),
            same_host=is_local(self._url),
            points=points,
        )


def _ignore(progress: LoadProgress) -> None:
    """Do nothing with a window: the default where the caller gives no listener."""
