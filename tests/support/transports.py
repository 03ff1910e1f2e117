"""Both transports with one interface, so that each test runs with threads and with asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from camserve.clients.observing.monitor import Monitor
from camserve.clients.wire.async_transport import AsyncTransport
from camserve.clients.wire.connection_options import ConnectionOptions, Deadline
from camserve.clients.wire.exchange import Exchange
from camserve.clients.wire.transport import Transport
from camserve.clients.wire.values import Reply, Request, ServedModel, ServedTensor, Statistics

__all__ = ["TRANSPORTS", "AsyncioTransport", "ThreadTransport", "TransportClass", "deadline", "toy_request"]

T = TypeVar("T")
_SECONDS = 60


class ThreadTransport:
    """The transport of threads, with the requests of `Exchange` as methods."""

    def __init__(self, *urls: str, monitor: Monitor | None = None, **options: Any) -> None:
        self.transport = Transport(urls, ConnectionOptions(**options), monitor or Monitor())
        self._set_methods(self.transport.run)

    def _set_methods(self, run: Callable[..., Any]) -> None:
        self.describe: Callable[..., ServedModel] = partial(run, Exchange.describe)
        self.is_ready: Callable[..., bool] = partial(run, Exchange.is_ready)
        self.statistics: Callable[..., Statistics] = partial(run, Exchange.statistics)
        self.infer: Callable[..., Reply] = partial(run, Exchange.infer)

    def close(self) -> None:
        self.transport.close()

    def __enter__(self) -> ThreadTransport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncioTransport(ThreadTransport):
    """The transport of asyncio, on an event loop in its own thread."""

    def __init__(self, *urls: str, **options: Any) -> None:
        self._async_transport = AsyncTransport(urls, ConnectionOptions(**options), Monitor())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._set_methods(self._blocking(self._async_transport.run))

    def close(self) -> None:
        if self._thread.is_alive():
            self._blocking(self._async_transport.close)()
            self._blocking(_wait_for_other_tasks)()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_SECONDS)
            self._loop.close()

    def _blocking(self, method: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., T]:
        def call(*args: Any, **keywords: Any) -> T:
            return asyncio.run_coroutine_threadsafe(method(*args, **keywords), self._loop).result(_SECONDS)

        return call


TransportClass = type[ThreadTransport]
TRANSPORTS: tuple[TransportClass, ...] = (ThreadTransport, AsyncioTransport)


def deadline(seconds: float = 10.0) -> Deadline:
    """Return a deadline from now."""
    return Deadline(seconds)


def toy_request(images: np.ndarray[Any, Any] | None = None, **changes: Any) -> Request:
    """Return a request for the logits of the toy model."""
    batch = np.zeros((1, 8, 8, 3), np.float32) if images is None else images
    values = {"model": "toy", "version": "", "outputs": ("logits",), **changes}
    return Request(tensor=ServedTensor("image", "FP32", (-1, 8, 8, 3)), batch=batch, **values)


async def _wait_for_other_tasks() -> None:
    """Wait for the tasks of calls that have just been ended."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=_SECONDS)
