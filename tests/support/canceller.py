"""A client of another library, plain tritonclient, that cancels requests just as their answers are ready."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from queue import SimpleQueue
from types import TracebackType
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from support.toy import expected_outputs, toy_images

from camserve.bundle import Bundle

__all__ = ["Canceller"]

_OUTPUT = "logits"
_TOLERANCE = 1e-5
_BURSTS = (2, 3, 4, 8)
_SPREAD_SECONDS = 0.0005
_MOMENTS = (0.5, 1.2)
"""When requests are cancelled, as a fraction of the previous latency."""

_TIMEOUT_SECONDS = 30.0
_WAIT_SECONDS = 60.0
_PAUSE_SECONDS = 0.2
"""After a request that failed, since the server may be restarting."""


class Canceller:
    """Threads with a connection each, as a context manager.

    Each sends up to eight requests again and again. Every second time, it waits for the first answer and a fraction of
    a millisecond, and cancels the others; else it cancels all shortly before or after the first answer is expected.

    Args:
        url: gRPC address, `host:port`.
        bundle: The bundle of the served toy model.
        threads: Number of threads.

    Attributes:
        results: Number of requests by result: `cancelled`, `answered`, `wrong`, or the message of another error.
    """

    def __init__(self, url: str, bundle: Bundle, *, threads: int = 4) -> None:
        image = toy_images(bundle)
        self._expected = expected_outputs(bundle, image)[_OUTPUT]
        self._tensor = triton.InferInput("image", list(image.shape), "FP32")
        self._tensor.set_data_from_numpy(image)
        self._model = bundle.contract.name
        self._clients = [triton.InferenceServerClient(url) for _ in range(threads)]
        self.results: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def __enter__(self) -> Canceller:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            client.close()

    def cancel(self, count: int, *, seconds: float = 600.0) -> int:
        """Send requests until this many were cancelled before they were answered, and return that number.

        It ends earlier after `seconds`, or after `stop`.
        """
        before = self.results["cancelled"]
        until = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self._cancel, args=(client, seed, before + count, until))
            for seed, client in enumerate(self._clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.results["cancelled"] - before

    def stop(self) -> None:
        """End `cancel`, which runs in another thread, early."""
        self._stop.set()

    def _cancel(self, client: Any, seed: int, target: int, until: float) -> None:
        generator = random.Random(seed)
        latency = 0.0
        while self.results["cancelled"] < target and time.monotonic() < until and not self._stop.is_set():
            done: SimpleQueue[str] = SimpleQueue()
            found: Counter[str] = Counter()
            begin = time.monotonic()
            burst = [self._send(client, done) for _ in range(generator.choice(_BURSTS))]
            if latency:
                time.sleep(generator.uniform(*_MOMENTS) * latency)
                latency = 0.0
            else:
                found[done.get(timeout=_WAIT_SECONDS)] += 1
                latency = time.monotonic() - begin
                time.sleep(generator.uniform(0, _SPREAD_SECONDS))
            for request in burst:
                request.cancel()
            found.update(done.get(timeout=_WAIT_SECONDS) for _ in range(len(burst) - found.total()))
            with self._lock:
                self.results += found
            if found.keys() - {"answered", "cancelled", "wrong"}:
                time.sleep(_PAUSE_SECONDS)

    def _send(self, client: Any, done: SimpleQueue[str]) -> Any:
        def receive(result: Any, error: Any) -> None:
            done.put(self._describe(result, error))

        return client.async_infer(self._model, [self._tensor], receive, client_timeout=_TIMEOUT_SECONDS)

    def _describe(self, result: Any, error: Any) -> str:
        if error is not None:
            return "cancelled" if "CANCELLED" in str(error.status()) else str(error)
        right = np.allclose(result.as_numpy(_OUTPUT), self._expected, rtol=_TOLERANCE, atol=_TOLERANCE)
        return "answered" if right else "wrong"
