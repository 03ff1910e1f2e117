"""gRPC channels of asyncio: one to each server, and one more for its health checks."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
import weakref
from collections.abc import Callable, Mapping

import grpc
from grpc import aio

from camserve.clients.steps import Call, Metadata
from camserve.clients.wire import health_checks
from camserve.clients.wire.channel_settings import SERVICE
from camserve.clients.wire.endpoints import Endpoints
from camserve.clients.wire.failures import CallFailed, unresponsive

__all__ = ["AsyncChannel", "AsyncDial", "AsyncHealthCheck"]

AsyncDial = Callable[[str], aio.Channel]
_log = logging.getLogger("camserve.clients.wire")


class AsyncChannel:
    """The channel to one server, which can be reset.

    Args:
        url: The server.
        dial: Opens the channel.
    """

    def __init__(self, url: str, dial: AsyncDial) -> None:
        self._url = url
        self._dial = dial
        self._channel = dial(url)
        self._ended = asyncio.Event()
        self._methods: dict[str, aio.UnaryUnaryMultiCallable[bytes, bytes]] = {}

    async def call(self, call: Call) -> bytes:
        """Make a call and wait for its reply; cancelling the task cancels the call.

        Raises:
            CallFailed: If there is no reply.
        """
        ended = self._ended
        try:
            return await self._method(call.method)(call.message, timeout=call.seconds, metadata=call.metadata)
        except grpc.RpcError as error:
            raise CallFailed(error.code().name, error.details() or "", call.metadata) from None
        except aio.UsageError:  # raised by a closed channel
            raise unresponsive() from None
        except asyncio.CancelledError:
            # A call whose channel is closed ends as if this task were cancelled.
            if not ended.is_set() or _is_cancelled():
                raise
            raise unresponsive() from None

    async def reset(self) -> None:
        """End every pending call; later ones use a new channel."""
        old, self._channel, self._methods = self._channel, self._dial(self._url), {}
        ended, self._ended = self._ended, asyncio.Event()
        ended.set()
        await old.close(None)

    async def close(self) -> None:
        """End every call and close the channel."""
        self._ended.set()
        await self._channel.close(None)

    def _method(self, name: str) -> aio.UnaryUnaryMultiCallable[bytes, bytes]:
        if name not in self._methods:
            self._methods[name] = self._channel.unary_unary(SERVICE + name)
        return self._methods[name]


class AsyncHealthCheck:
    """Checks the health of every server, over separate connections, which no large message blocks.

    Args:
        owner: The checks end when it is closed or garbage-collected.
        channels: The channels to reset if a server hangs.
        endpoints: Records the results.
        dial: Opens channels.
        metadata: Headers of every check.
    """

    def __init__(
        self,
        owner: object,
        channels: Mapping[str, AsyncChannel],
        endpoints: Endpoints,
        dial: AsyncDial,
        metadata: Metadata,
    ) -> None:
        self._owner = weakref.ref(owner)
        self._channels = channels
        self._endpoints = endpoints
        self._metadata = metadata
        self._own = {url: AsyncChannel(url, dial) for url in channels}
        self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """End the checks."""
        self._task.cancel()
        await asyncio.wait((self._task,))
        for channel in self._own.values():
            await channel.close()
        self._own.clear()

    async def _run(self) -> None:
        while self._owner() is not None:
            await asyncio.sleep(health_checks.INTERVAL)
            try:
                await asyncio.gather(*map(self._check, self._endpoints.due(time.monotonic())))
            except Exception as error:  # noqa: BLE001  (a server that is down would never be found up again)
                _log.warning(*health_checks.error_message(error))

    async def _check(self, url: str) -> None:
        reply: bytes | CallFailed
        try:
            reply = await self._own[url].call(health_checks.check(url, self._metadata))
        except CallFailed as failed:
            reply = failed
        if self._endpoints.record_check(url, health_checks.judge(reply), time.monotonic()):
            await self._channels[url].reset()


def _is_cancelled() -> bool:
    """Return whether this task is being cancelled; Python 3.10 cannot tell."""
    task = asyncio.current_task()
    return sys.version_info >= (3, 11) and task is not None and task.cancelling() > 0
