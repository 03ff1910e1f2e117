"""Inference through shared memory: the calls that register segments, send batches and unregister segments."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice

from tritonclient.grpc import service_pb2

from camserve.clients.steps import Call, Metadata, Steps
from camserve.clients.wire.connection_options import MemorySharing, is_local
from camserve.clients.wire.failures import CallFailed, is_refusal
from camserve.clients.wire.messages import encode_request, request_header
from camserve.clients.wire.queries import Server, parse
from camserve.clients.wire.shared_memory import Lease, SharedMemory, is_unknown_region, not_accepted
from camserve.clients.wire.values import Request
from camserve.errors import RequestError, UsageError

__all__ = ["Sharing", "open_sharing"]

_log = logging.getLogger("camserve.clients.wire")
_UNREGISTER = "SystemSharedMemoryUnregister"
_CLOSING_SECONDS = 1.0
_MOST_REGIONS = 1_000
"""The most regions of a server that are looked at for those of killed clients."""


def open_sharing(urls: Sequence[str], use: MemorySharing) -> Sharing | None:
    """Return the shared memory of a client, or None if it is not used.

    Raises:
        UsageError: If it is required, and this host has none.
    """
    if use != "auto":
        return Sharing() if use else None
    if not any(map(is_local, urls)):
        return None
    try:
        return Sharing(required=False)
    except UsageError as error:
        _log.info("%s", error.message)
        return None


class Sharing:
    """The shared memory of one client, and the servers that it is registered with.

    Args:
        required: Whether every server must accept shared memory. Otherwise, one that does not, or that may be on
            another host, receives messages.

    Raises:
        UsageError: If this host has no shared memory.
    """

    def __init__(self, *, required: bool = True) -> None:
        self._memory = SharedMemory()
        self._required = required
        self._refused: set[str] = set()
        self._cleaned: set[str] = set()

    def send(self, server: Server, request: Request) -> Steps[bytes]:
        """Send a batch and return the bytes of the reply.

        A server that was restarted has lost the registered segments: each is found out at its next use and replaced.

        Raises:
            RequestError: If the server does not accept shared memory, and it is required.
        """
        while self._may_share(server.url):
            with self._memory.lease(server.url, request.batch) as lease:
                if lease is None:
                    return (yield from server.call("ModelInfer", encode_request(request)))
                was_registered = lease.registered
                if not was_registered:
                    try:
                        yield from self._register(server, lease)
                    except RequestError as refusal:
                        if self._required:
                            raise
                        self._refused.add(server.url)
                        _log.info("%s; it receives messages", refusal.message)
                        continue
                message = request_header(request)
                lease.describe(message.inputs[0])
                lease.hold()  # beyond the block if the call is abandoned: the server may still read the pixels
                call = replace(server.call("ModelInfer", message.SerializeToString()), ended=lease.release)
                try:
                    return (yield from call)
                except CallFailed as failed:
                    if not (was_registered and is_unknown_region(failed.why)):
                        raise
                    lease.discard()
        return (yield from server.call("ModelInfer", encode_request(request)))

    def closing_calls(self, url: str, metadata: Metadata) -> list[Call]:
        """Return the calls that unregister all segments at a server."""
        return [
            Call(url, _UNREGISTER, message.SerializeToString(), metadata, _CLOSING_SECONDS)
            for message in self._memory.unregistrations(url)
        ]

    def close(self) -> None:
        """Free the memory."""
        self._memory.close()

    def _may_share(self, url: str) -> bool:
        return self._required or (is_local(url) and url not in self._refused)

    def _register(self, server: Server, lease: Lease) -> Steps[None]:
        with lease.registering() as message:
            try:
                yield from server.call("SystemSharedMemoryRegister", message.SerializeToString())
            except CallFailed as failed:
                if is_refusal(failed):
                    raise not_accepted(server.url, failed.why) from None
                raise
        if server.url not in self._cleaned:
            self._cleaned.add(server.url)
            with suppress(CallFailed):
                yield from self._unregister_abandoned(server)

    def _unregister_abandoned(self, server: Server) -> Steps[None]:
        """Unregister the segments of clients that were killed."""
        reply = yield from server.call("SystemSharedMemoryStatus", b"")
        status = parse(service_pb2.SystemSharedMemoryStatusResponse.FromString, reply)
        for message in self._memory.abandoned(islice(status.regions, _MOST_REGIONS)):
            yield from server.call(_UNREGISTER, message.SerializeToString())
