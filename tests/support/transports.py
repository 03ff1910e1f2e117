"""Both transports with one face, so that each law is checked of threads and of asyncio alike."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from camserve.clients.observing.monitor import Monitor
from camserve.clients.wire.async_transport import AsyncTransport
from camserve.clients.wire.connection_options import ConnectionOptions, Deadline
from camserve.clients.wire.messages import Reply, Request, ServedModel, ServedTensor, Statistics
from camserve.clients.wire.transport import Transport

__all__ = ["TRANSPORTS", "AsyncioTransport", "ThreadTransport", "TransportClass", "deadline", "toy_request"]

T = TypeVar("T")
_SECONDS = 60


class ThreadTransport:
    """The transport of threads."""

    def __init__(self, *urls: str, **options: Any) -> None:
        self._transport = Transport(urls, ConnectionOptions(**options), Monitor())
        self.describe: Callable[..., ServedModel] = self._transport.describe
        self.is_ready: Callable[..., bool] = self._transport.is_ready
        self.statistics: Callable[..., Statistics] = self._transport.statistics
        self.infer: Callable[..., Reply] = self._transport.infer

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> ThreadTransport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncioTransport(ThreadTransport):
    """The transport of asyncio, on a loop in a thread of its own."""

    def __init__(self, *urls: str, **options: Any) -> None:
        self._asked = AsyncTransport(urls, ConnectionOptions(**options), Monitor())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.describe = self._waited(self._asked.describe)
        self.is_ready = self._waited(self._asked.is_ready)
        self.statistics = self._waited(self._asked.statistics)
        self.infer = self._waited(self._asked.infer)

    def close(self) -> None:
        if self._thread.is_alive():
            self._waited(self._asked.close)()
            self._waited(_others_ended)()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_SECONDS)
            self._loop.close()

    def _waited(self, method: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., T]:
        def call(*args: Any, **keywords: Any) -> T:
            return asyncio.run_coroutine_threadsafe(method(*args, **keywords), self._loop).result(_SECONDS)

        return call


TransportClass = type[ThreadTransport]
TRANSPORTS: tuple[TransportClass, ...] = (ThreadTransport, AsyncioTransport)


def deadline(seconds: float = 10.0) -> Deadline:
    """A deadline from now on."""
    return Deadline.after(seconds)


def toy_request(images: np.ndarray[Any, Any] | None = None, **changes: Any) -> Request:
    """A request for the toy's logits."""
    batch = np.zeros((1, 8, 8, 3), np.float32) if images is None else images
    values = {"model": "toy", "version": "", "outputs": ("logits",), **changes}
    return Request(tensor=ServedTensor("image", "FP32", (-1, 8, 8, 3)), batch=batch, **values)


async def _others_ended() -> None:
    """Waits for the tasks of calls that have just been ended."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=_SECONDS)
