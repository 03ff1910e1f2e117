"""The transport of asyncio: performs the steps of requests by awaited calls."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Concatenate, ParamSpec, TypeVar

from camserve.clients.observing.monitor import Monitor
from camserve.clients.steps import Call, Step, Steps, Work, run_steps_async
from camserve.clients.threads import starting_threads
from camserve.clients.wire.connection_options import ConnectionOptions
from camserve.clients.wire.connections import Connections
from camserve.clients.wire.exchange import Exchange
from camserve.clients.wire.failures import CallFailed
from camserve.errors import UsageError

__all__ = ["AsyncTransport"]

P = ParamSpec("P")
T = TypeVar("T")


class AsyncTransport:
    """Connections to the servers of one client, for one event loop: that in which it is first used.

    The calls belong to other threads instead of the event loop, so that a call of a cancelled task, or of an event loop
    that has ended, runs to its end.

    Args:
        urls: Addresses of the servers, which serve the same models.
        options: How to connect to them.
        monitor: Logs, traces and counts the requests.

    Raises:
        UsageError: If a file of `options.tls` cannot be read, or a token would be sent unencrypted.
    """

    def __init__(self, urls: Sequence[str], options: ConnectionOptions, monitor: Monitor) -> None:
        self._connections = Connections(urls, options, monitor)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wakeups = _Wakeups()
        self._closing = asyncio.Event()

    async def run(self, request: Callable[Concatenate[Exchange, P], Steps[T]], *args: P.args, **options: P.kwargs) -> T:
        """Run a request to its end; see `Transport.run`.

        Raises:
            UsageError: If the transport is in use on another event loop.
        """
        self._check_loop()
        return await run_steps_async(request(self._connections.exchange, *args, **options), self._perform)

    async def close(self) -> None:
        """End the wait for every pending call at once, and each connection after its last call.

        Closing twice has no effect.
        """
        self._closing.set()
        if self._connections.exchange.shares_memory:
            await asyncio.to_thread(self._connections.close)  # unregisters it at the servers
        else:
            self._connections.close()

    async def _perform(self, step: Step) -> object:
        if isinstance(step, Work):
            with starting_threads():
                return await asyncio.to_thread(step.compute)
        if isinstance(step, Call):
            return await self._call(step)
        self._connections.check_open()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._closing.wait(), step.seconds)
        return None

    async def _call(self, call: Call) -> bytes:
        loop = asyncio.get_running_loop()
        settled = loop.create_future()
        pending = self._connections.begin(call)
        late = loop.call_later(call.seconds, pending.abandon_late)
        try:
            pending.call_when_settled(lambda: self._wakeups.resolve(settled))
            await settled
            return pending.reply()
        except CallFailed as failed:
            raise self._connections.error(failed) from None
        finally:
            late.cancel()
            pending.abandon_if_pending()  # unless it has ended: the task was cancelled

    def _check_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._connections.closing.is_set() or self._loop is loop:
            return
        if self._loop is not None:
            raise UsageError(
                "the client is in use on another event loop", hint="Create a client in each call of asyncio.run"
            )
        self._loop = loop


class _Wakeups:
    """Resolves futures of one event loop from other threads, and wakes it once for several of them."""

    def __init__(self) -> None:
        self._futures: deque[asyncio.Future[None]] = deque()
        self._is_due = False

    def resolve(self, future: asyncio.Future[None]) -> None:
        """Resolve a future, unless it is resolved already. May be called in any thread."""
        self._futures.append(future)  # before the check: `_resolve_all` resets the flag before it looks
        if not self._is_due:
            self._is_due = True
            with suppress(RuntimeError):  # the event loop has been closed
                future.get_loop().call_soon_threadsafe(self._resolve_all)

    def _resolve_all(self) -> None:
        self._is_due = False
        while self._futures:
            future = self._futures.popleft()
            if not future.done():
                future.set_result(None)
