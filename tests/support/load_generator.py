"""A load on a server: so many requests under way at once, and what each took."""

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
    """One kind of load: images in a request, and requests at once."""

    batch: int
    concurrency: int


@dataclass(frozen=True)
class Measured:
    """Images a second, and the seconds that each request took."""

    rate: float
    seconds: tuple[float, ...]


@contextmanager
def connected(url: str) -> Iterator[Any]:
    """A client that is closed afterwards."""
    client = triton.InferenceServerClient(url)
    try:
        yield client
    finally:
        client.close()


def send(client: Any, model: str, images: Any, load: Load, seconds: float) -> Measured:
    """Keeps so many requests under way for so many seconds, and waits for the last."""
    batch = np.ascontiguousarray(images[: load.batch])
    tensor = triton.InferInput("image", batch.shape, "UINT8" if batch.dtype == np.uint8 else "FP32")
    tensor.set_data_from_numpy(batch)
    done: queue.SimpleQueue[float | Exception] = queue.SimpleQueue()
    taken: list[float] = []
    under_way = 0
    began = time.perf_counter()
    while under_way or time.perf_counter() < began + seconds:
        while under_way < load.concurrency and time.perf_counter() < began + seconds:
            _ask(client, model, tensor, done)
            under_way += 1
        came = done.get()
        under_way -= 1
        if isinstance(came, Exception):
            raise came
        taken.append(came)
    return Measured(load.batch * len(taken) / (time.perf_counter() - began), tuple(taken))


def _ask(client: Any, model: str, tensor: Any, done: queue.SimpleQueue[float | Exception]) -> None:
    """Sends one request; the seconds until its answer, or its error, come through the queue."""
    started = time.perf_counter()

    def arrived(result: Any, error: Exception | None) -> None:
        done.put(error or time.perf_counter() - started)

    client.async_infer(model, [tensor], arrived)
