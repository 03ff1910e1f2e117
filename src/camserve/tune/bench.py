"""Where candidates are measured: an embedded Triton in explicit mode, with a temporary model repository."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from camserve.bundle import Bundle
from camserve.clients import LoadOptions
from camserve.clients.load.measure import LoadMeter
from camserve.clients.load.options import LoadLevel
from camserve.doctor.memory import read_memory
from camserve.errors import ServerError
from camserve.serving import LiveServer, TritonServer, publish
from camserve.tune.choices import Candidate
from camserve.tune.readings import Reading

__all__ = ["TritonBench"]

_WINDOWS = 4
_WARM_UP = 0.3
_MOST_INSTANCES = 24
"""Instances of all loaded candidates: each has a process and a part of /dev/shm."""
_SIZE_FACTOR = 4  # weights, their copy in the layout of the runtime, and activations
_PROCESS_BYTES = 200 * 2**20


class TritonBench:
    """An embedded Triton that serves candidates under load, as a context manager.

    Candidates stay loaded as long as memory allows, since a model that is idle takes none of the cores.

    Args:
        bundles: The bundles by their folder.
        seconds: How long measuring may take from now on.
    """

    def __init__(self, bundles: Mapping[str, Bundle], seconds: float) -> None:
        self._bundles = bundles
        self._deadline = time.monotonic() + seconds
        self._names: dict[Candidate, str] = {}
        self._meters: dict[Candidate, LoadMeter] = {}
        self._resources = ExitStack()
        memory = read_memory()
        self._memory = min(each for each in (memory.available, memory.limit, 2**40) if each is not None) / 2

    def __enter__(self) -> TritonBench:
        with ExitStack() as resources:
            folder = resources.enter_context(tempfile.TemporaryDirectory(prefix="camserve-tune-"))
            self._repository = Path(folder) / "models"
            self._repository.mkdir()
            self._server = TritonServer(
                self._repository, model_control="explicit", models=(), http=False, metrics=False, cpu=True
            )
            self._server.start()
            resources.callback(lambda: self._server.stop(grace=0))  # no request is in flight
            self._live = resources.enter_context(LiveServer(self._server.grpc_url))
            resources.callback(self._close_meters)
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def left(self) -> float:
        """Return the seconds that are left."""
        return self._deadline - time.monotonic()

    def read(self, candidate: Candidate, concurrency: int, seconds: float) -> Reading:
        """Measure a candidate, which is published and loaded if it is not.

        Args:
            candidate: The candidate.
            concurrency: Requests in flight.
            seconds: Length of the measurement.

        Raises:
            CamserveError: If it cannot be published or loaded, does not give the golden answers, or if requests fail.
        """
        meter = self._meters.pop(candidate, None) or self._open(candidate)
        self._meters[candidate] = meter  # the last one is the latest in use
        options = LoadOptions(
            window=seconds / _WINDOWS, max_windows=_WINDOWS, stability=1e-9, warm_up=max(_WARM_UP, seconds / 8)
        )
        point = meter.measure(LoadLevel(concurrency=concurrency), options=options)
        if point.stopped is not None or point.errors:
            reason = point.stopped or f"{point.error_count} requests failed: {next(iter(point.errors))}"
            raise ServerError(f"at concurrency {concurrency}, {reason}")
        rates = tuple(window.images_per_second for window in point.windows)
        return Reading(rates, point.latency.p50 * 1e3, point.latency.p99 * 1e3, point.client_limited)

    def _open(self, candidate: Candidate) -> LoadMeter:
        """Load a candidate, and unload others that were not used for longest if memory requires it."""
        while self._meters and not self._fits(candidate):
            oldest = next(iter(self._meters))
            self._meters.pop(oldest).__exit__(None, None, None)
            self._live.unload(self._names[oldest])
        if candidate in self._names:
            self._live.load(self._names[candidate])
        else:
            self._publish(candidate)
        meter = LoadMeter(self._server.grpc_url, self._names[candidate], LoadOptions())
        return meter.__enter__()

    def _publish(self, candidate: Candidate) -> None:
        name = f"candidate-{len(self._names)}"
        publish(
            self._bundles[candidate.bundle],
            self._repository,
            name=name,
            options=candidate.options,
            backend=candidate.backend,
            url=self._server.grpc_url,
        )
        self._names[candidate] = name

    def _fits(self, candidate: Candidate) -> bool:
        loaded = [*self._meters, candidate]
        size = sum(each.instances * (_PROCESS_BYTES + _SIZE_FACTOR * self._bytes(each)) for each in loaded)
        return size <= self._memory and sum(each.instances for each in loaded) <= _MOST_INSTANCES

    def _bytes(self, candidate: Candidate) -> int:
        path = self._bundles[candidate.bundle].onnx_path
        return path.stat().st_size if path is not None else _PROCESS_BYTES

    def _close_meters(self) -> None:
        for meter in self._meters.values():
            meter.__exit__(None, None, None)
