"""The transport of asyncio: carries out the steps of an exchange by calls that are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeVar

from grpc import aio

from camserve.clients.observing.monitor import Monitor
from camserve.clients.wire.async_channels import AsyncChannel, AsyncHealthCheck
from camserve.clients.wire.calls import Call, Steps, Wait
from camserve.clients.wire.channel_settings import dialler
from camserve.clients.wire.connection_options import ConnectionOptions, Deadline, check_secrecy
from camserve.clients.wire.endpoints import Endpoints
from camserve.clients.wire.exchange import Exchange
from camserve.clients.wire.failures import CallFailed, closed
from camserve.clients.wire.messages import Reply, Request, ServedModel, Statistics
from camserve.errors import UsageError

__all__ = ["AsyncTransport"]

T = TypeVar("T")


class AsyncTransport:
    """The servers of one client, for one event loop: that in which it is first used.

    Args:
        urls: Addresses of the servers, which serve the same models.
        options: How they are called.
        monitor: Who is told what happens.

    Raises:
        UsageError: If a file of `options.tls` cannot be read, or a token would go out in plain text.
    """

    def __init__(self, urls: Sequence[str], options: ConnectionOptions, monitor: Monitor) -> None:
        self.urls = tuple(urls)
        check_secrecy(self.urls, options)
        self._endpoints = Endpoints(self.urls)
        self._exchange = Exchange(self.urls, options, monitor, self._endpoints)
        self._metadata = options.metadata
        self._dial = dialler(options, aio.insecure_channel, aio.secure_channel)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channels: dict[str, AsyncChannel] = {}
        self._health_check: AsyncHealthCheck | None = None
        self._closing = asyncio.Event()

    async def describe(
        self, model: str, version: str = "", *, url: str | None = None, deadline: Deadline
    ) -> ServedModel:
        """As `Transport.describe`."""
        return await self._run(self._exchange.describe(model, version, url, deadline))

    async def is_ready(self, model: str, version: str = "", *, deadline: Deadline) -> bool:
        """As `Transport.is_ready`."""
        return await self._run(self._exchange.is_ready(model, version, deadline))

    async def statistics(self, model: str, version: str, *, url: str, deadline: Deadline) -> Statistics:
        """As `Transport.statistics`."""
        return await self._run(self._exchange.statistics(model, version, url, deadline))

    async def infer(self, request: Request, *, url: str | None = None, deadline: Deadline) -> Reply:
        """As `Transport.infer`."""
        return await self._run(self._exchange.infer(request, url, deadline))

    async def close(self) -> None:
        """Closes every connection and ends the calls under way; closing twice changes nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        if self._health_check is not None:
            await self._health_check.stop()
        for url, channel in self._channels.items():
            await self._send_closing_calls(url, channel)
            await channel.close()
        self._channels.clear()  # the last reference to a channel ends the thread that polls for it
        self._exchange.close()

    async def _send_closing_calls(self, url: str, channel: AsyncChannel) -> None:
        calls = self._exchange.closing_calls(url)
        if calls:
            await channel.reset()  # whatever is under way ends first
        with suppress(CallFailed):
            for call in calls:
                await channel.call(call)

    async def _run(self, steps: Steps[T]) -> T:
        try:
            self._open()
            step = next(steps)
            while True:
                try:
                    answer = await self._take(step)
                except BaseException as error:  # noqa: BLE001  (cancellation and Ctrl-C, too, are the steps' to note)
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            found: T = end.value
            return found

    async def _take(self, step: Call | Wait) -> bytes:
        if self._closing.is_set():
            raise closed(self.urls)
        if isinstance(step, Wait):
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._closing.wait(), step.seconds)
            return b""
        try:
            return await self._channels[step.url].call(step)
        except CallFailed:
            if self._closing.is_set():
                raise closed(self.urls) from None
            raise

    def _open(self) -> None:
        """Makes the channels, which belong to the loop that runs."""
        loop = asyncio.get_running_loop()
        if self._closing.is_set() or self._loop is loop:
            return
        if self._loop is not None:
            raise UsageError(
                "the client is already in use on another event loop", hint="Make a client for each call of asyncio.run"
            )
        self._loop = loop
        self._channels.update((url, AsyncChannel(url, self._dial)) for url in self.urls)
        if len(self.urls) > 1:
            self._health_check = AsyncHealthCheck(self, self._channels, self._endpoints, self._dial, self._metadata)
