"""Load on a server: a number of concurrent requests, and the duration of each."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import tritonclient.grpc as triton

__all__ = ["Load", "Measured", "connected", "send"]


@dataclass(frozen=True)
class Load:
    """A load: images per request, and concurrent requests."""

    batch: int
    concurrency: int


@dataclass(frozen=True)
class Measured:
    """Images per second, and the duration of each request in seconds."""

    rate: float
    seconds: tuple[float, ...]


@contextmanager
def connected(url: str) -> Iterator[Any]:
    """Open a client and close it afterwards."""
    client = triton.InferenceServerClient(url)
    try:
        yield client
    finally:
        client.close()


def send(client: Any, model: str, images: Any, load: Load, seconds: float) -> Measured:
    """Send concurrent requests for so many seconds, and wait for the last."""
    batch = np.ascontiguousarray(images[: load.batch])
    tensor = triton.InferInput("image", batch.shape, "UINT8" if batch.dtype == np.uint8 else "FP32")
    tensor.set_data_from_numpy(batch)
    done: queue.SimpleQueue[float | Exception] = queue.SimpleQueue()
    taken: list[float] = []
    pending = 0
    began = time.perf_counter()
    while pending or time.perf_counter() < began + seconds:
        while pending < load.concurrency and time.perf_counter() < began + seconds:
            _send_one(client, model, tensor, done)
            pending += 1
        came = done.get()
        pending -= 1
        if isinstance(came, Exception):
            raise came
        taken.append(came)
    return Measured(load.batch * len(taken) / (time.perf_counter() - began), tuple(taken))


def _send_one(client: Any, model: str, tensor: Any, done: queue.SimpleQueue[float | Exception]) -> None:
    """Send one request, and put its duration or its error into the queue."""
    started = time.perf_counter()

    def arrived(result: Any, error: Exception | None) -> None:
        done.put(error or time.perf_counter() - started)

    client.async_infer(model, [tensor], arrived)
