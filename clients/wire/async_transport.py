"""The transport of asyncio: performs the steps of requests by awaited calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Concatenate, ParamSpec, TypeVar

from grpc import aio

from camserve.clients.observing.monitor import Monitor
from camserve.clients.steps import Step, Steps, Wait, Work, run_steps_async
from camserve.clients.threads import starting_threads
from camserve.clients.wire.async_channels import AsyncChannel, AsyncHealthCheck
from camserve.clients.wire.channel_settings import dialler
from camserve.clients.wire.connection_options import ConnectionOptions, check_token_protected
from camserve.clients.wire.endpoints import Endpoints
from camserve.clients.wire.exchange import Exchange
from camserve.clients.wire.failures import CallFailed, closed
from camserve.errors import UsageError

__all__ = ["AsyncTransport"]

P = ParamSpec("P")
T = TypeVar("T")


class AsyncTransport:
    """Connections to the servers of one client, for one event loop: that in which it is first used.

    Args:
        urls: Addresses of the servers, which serve the same models.
        options: How to connect to them.
        monitor: Logs, traces and counts the requests.

    Raises:
        UsageError: If a file of `options.tls` cannot be read, or a token would be sent unencrypted.
    """

    def __init__(self, urls: Sequence[str], options: ConnectionOptions, monitor: Monitor) -> None:
        self._urls = tuple(urls)
        check_token_protected(self._urls, options)
        self._endpoints = Endpoints(self._urls)
        self._exchange = Exchange(self._urls, options, monitor, self._endpoints)
        self._metadata = options.metadata
        self._dial = dialler(options, aio.insecure_channel, aio.secure_channel)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channels: dict[str, AsyncChannel] = {}
        self._health_check: AsyncHealthCheck | None = None
        self._closing = asyncio.Event()

    async def run(self, request: Callable[Concatenate[Exchange, P], Steps[T]], *args: P.args, **options: P.kwargs) -> T:
        """Run a request to its end; see `Transport.run`.

        Raises:
            UsageError: If the transport is in use on another event loop.
        """
        self._open()
        return await run_steps_async(request(self._exchange, *args, **options), self._perform)

    async def close(self) -> None:
        """Close every connection and end the pending calls; closing twice has no effect."""
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

    async def _perform(self, step: Step) -> object:
        if isinstance(step, Work):
            with starting_threads():
                return await asyncio.to_thread(step.compute)
        if self._closing.is_set():
            raise closed(self._urls)
        if isinstance(step, Wait):
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._closing.wait(), step.seconds)
            return None
        try:
            return await self._channels[step.url].call(step)
        except CallFailed:
            if self._closing.is_set():
                raise closed(self._urls) from None
            raise

    async def _send_closing_calls(self, url: str, channel: AsyncChannel) -> None:
        calls = self._exchange.closing_calls(url)
        if calls:
            await channel.reset()  # ends the pending calls first
        with suppress(CallFailed):
            for call in calls:
                await channel.call(call)

    def _open(self) -> None:
        """Create the channels, which belong to the running event loop."""
        loop = asyncio.get_running_loop()
        if self._closing.is_set() or self._loop is loop:
            return
        if self._loop is not None:
            raise UsageError(
                "the client is in use on another event loop", hint="Create a client in each call of asyncio.run"
            )
        self._loop = loop
        self._channels.update((url, AsyncChannel(url, self._dial)) for url in self._urls)
        if len(self._urls) > 1:
            self._health_check = AsyncHealthCheck(self, self._channels, self._endpoints, self._dial, self._metadata)
