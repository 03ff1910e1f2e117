"""A model with one session of ONNX Runtime for each of a few batch sizes."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from .batch_sizes import smallest_size
from .bound_session import BoundSession
from .cuda_graphs import Attempt
from .onnx_providers import LABELS
from .onnx_sessions import SessionFactory
from .parameters import ModelRefusedError

__all__ = ["FixedSizes"]

_GRAPH = {"gpu_graph_id": "0"}  # the default, but onnxruntime raises and catches an exception in each run without it
_WITHOUT_GRAPH = {"gpu_graph_id": "-1"}
_GRAPH_RUNS = 3  # one plans the memory, one is recorded, one is replayed


class FixedSizes:
    """A model that runs each batch with the smallest of a few sizes that holds it.

    Args:
        factory: Creates the sessions.
        config: The model's configuration, with only fixed dimensions.
        sizes: The batch sizes, in increasing order.
        attempts: Execution providers for all sizes; the first with which every session runs are used.
        warnings: What the configuration requests and the instance does not have.
        log: Called with each size that is ready.

    Raises:
        ModelRefusedError: If ONNX Runtime cannot read the model.
    """

    def __init__(
        self,
        factory: SessionFactory,
        config: Mapping[str, Any],
        sizes: Sequence[int],
        attempts: Sequence[Attempt],
        warnings: Sequence[str] = (),
        *,
        log: Callable[[str], None],
    ) -> None:
        self._factory, self._config, self._sizes, self._attempts = factory, config, sizes, attempts
        self._log = log
        self.provider, self.warnings = LABELS[attempts[0].providers[0][0]], [*warnings]
        self._sessions: dict[int, BoundSession] = {}
        declared = factory.describe(attempts[-1].providers)
        self.inputs, self.optional, self.outputs = declared.inputs, declared.optional, declared.outputs
        self._batch_names = declared.batch_names
        self._options = factory.run_options(_GRAPH)

    def make_ready(self) -> None:
        """Create the sessions and run each once.

        Raises:
            ModelRefusedError: If one cannot be created or does not run.
        """
        *preferred, last = self._attempts
        for attempt in preferred:
            try:
                return self._make_ready(attempt)
            except ModelRefusedError as error:
                self.warnings.append(f"does not run with {attempt.extras}: {error}")
            # The error and its future refer to each other, and to sessions that would occupy the GPU besides the next.
            gc.collect()
        return self._make_ready(last)

    def run(self, names: Sequence[str], parts: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
        """Run the model and return the outputs with these names, which are valid until the next run."""
        rows = sum(next(iter(part.values())).shape[0] for part in parts)
        try:
            session = self._sessions[smallest_size(self._sizes, rows)]
            session.write(parts)
            session.run(self._options)
            return session.read(names, rows)
        except Exception as error:
            raise RuntimeError(f"onnxruntime: {error}") from error

    def _make_ready(self, attempt: Attempt) -> None:
        sessions: dict[int, BoundSession] = {}
        with ThreadPoolExecutor(min(len(self._sizes), os.cpu_count() or 1)) as pool:
            opening = [pool.submit(self._open, size, attempt) for size in self._sizes]
            try:
                for opened in as_completed(opening):
                    size, session, seconds = opened.result()
                    sessions[size] = session
                    self._log(f"batch size {size} is ready after {seconds:.1f} s")
            except ModelRefusedError:
                pool.shutdown(cancel_futures=True)
                raise
        if attempt.graphs:
            self._record_graphs(sessions)
        self._sessions = sessions

    def _open(self, size: int, attempt: Attempt) -> tuple[int, BoundSession, float]:
        begin = time.perf_counter()
        dimensions = dict.fromkeys(self._batch_names, size)
        created = self._factory.create(attempt.providers, dimensions=dimensions)
        try:
            session = BoundSession(created, size, self._config, device=attempt.device, index=attempt.index)
            session.run(self._factory.run_options(_WITHOUT_GRAPH if attempt.graphs else _GRAPH))
        except Exception as error:
            raise ModelRefusedError(f"onnxruntime cannot run batch size {size}: {error}") from error
        return size, session, time.perf_counter() - begin

    def _record_graphs(self, sessions: Mapping[int, BoundSession]) -> None:
        """Record the CUDA graph of each session.

        One after the other, since CUDA forbids other threads to allocate memory meanwhile; and in the thread that will
        run them, since ONNX Runtime has one graph for each thread.
        """
        begin = time.perf_counter()
        for size in self._sizes:
            try:
                for _ in range(_GRAPH_RUNS):
                    sessions[size].run(self._options)
            except Exception as error:
                raise ModelRefusedError(f"onnxruntime cannot record batch size {size}: {error}") from error
        self._log(f"the CUDA graphs of all batch sizes are recorded after {time.perf_counter() - begin:.1f} s")
