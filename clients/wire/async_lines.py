"""Channels of asyncio: one to each server, and one more to ask for its health."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping

import grpc
from grpc import aio

from camserve.clients.wire import health
from camserve.clients.wire.channels import SERVICE, compression, credentials, settings
from camserve.clients.wire.endpoints import Endpoints
from camserve.clients.wire.failures import CallFailed, given_up
from camserve.clients.wire.options import ConnectionOptions
from camserve.clients.wire.steps import Call, Metadata

__all__ = ["AsyncDial", "AsyncLine", "AsyncWatch", "async_dialler"]

AsyncDial = Callable[[str], aio.Channel]


def async_dialler(options: ConnectionOptions) -> AsyncDial:
    """What opens a channel to an address, on the loop that runs.

    Raises:
        UsageError: If a file of `options.tls` cannot be read.
    """
    arguments, secrets, packed = settings(options), credentials(options), compression(options)

    def dial(url: str) -> aio.Channel:
        if secrets is None:
            return aio.insecure_channel(url, arguments, packed)
        return aio.secure_channel(url, secrets, arguments, packed)

    return dial


class AsyncLine:
    """The channel to one server, which can be given up and laid anew.

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
        """Waits for an answer; to cancel the task cancels the call.

        Raises:
            CallFailed: If there is none.
        """
        ended = self._ended
        try:
            return await self._method(call.method)(call.message, timeout=call.seconds, metadata=call.metadata)
        except grpc.RpcError as error:
            raise CallFailed(error.code().name, error.details() or "") from None
        except aio.UsageError:
            raise given_up() from None
        except asyncio.CancelledError:
            # A call whose channel is closed ends as if this task were cancelled.
            if not ended.is_set() or _is_cancelled():
                raise
            raise given_up() from None

    async def give_up(self) -> None:
        """Ends every call under way; later ones go over a new channel."""
        old, self._channel, self._methods = self._channel, self._dial(self._url), {}
        ended, self._ended = self._ended, asyncio.Event()
        ended.set()
        await old.close(None)

    async def close(self) -> None:
        """Ends every call, for good."""
        self._ended.set()
        await self._channel.close(None)

    def _method(self, name: str) -> aio.UnaryUnaryMultiCallable[bytes, bytes]:
        if name not in self._methods:
            self._methods[name] = self._channel.unary_unary(SERVICE + name)
        return self._methods[name]


class AsyncWatch:
    """Asks every server for its health, over connections of its own, so that no large message is in its way.

    Args:
        lines: The channels whose calls are given up where a server hangs.
        endpoints: What is told.
        dial: Opens channels.
        metadata: Headers of every question.
    """

    def __init__(
        self, lines: Mapping[str, AsyncLine], endpoints: Endpoints, dial: AsyncDial, metadata: Metadata
    ) -> None:
        self._lines = lines
        self._endpoints = endpoints
        self._metadata = metadata
        self._own = {url: AsyncLine(url, dial) for url in lines}
        self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """Ends the questions."""
        self._task.cancel()
        await asyncio.wait((self._task,))
        for line in self._own.values():
            await line.close()
        self._own.clear()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(health.INTERVAL)
            await asyncio.gather(*map(self._check, self._endpoints.due(time.monotonic())))

    async def _check(self, url: str) -> None:
        judged = health.judge(await self._ask(url))
        if self._endpoints.checked(url, judged, time.monotonic()):
            await self._lines[url].give_up()

    async def _ask(self, url: str) -> bytes | CallFailed:
        try:
            return await self._own[url].call(Call(url, health.METHOD, b"", self._metadata, health.PATIENCE))
        except CallFailed as failed:
            return failed


def _is_cancelled() -> bool:
    """Whether someone cancels this task; Python 3.10 does not tell."""
    task = asyncio.current_task()
    return sys.version_info >= (3, 11) and task is not None and task.cancelling() > 0
