"""Batches sent through memory that client and server share: what the server is told, and when."""

from __future__ import annotations

from contextlib import suppress

from tritonclient.grpc import service_pb2

from camserve.clients.wire.calls import Call, Metadata, Server, Steps, parsed
from camserve.clients.wire.failures import CallFailed, is_refusal
from camserve.clients.wire.messages import Request, encode_request, request_header
from camserve.clients.wire.shared_memory import Lease, SharedMemory, is_unknown_region, refused

__all__ = ["Sharing"]

_UNREGISTER = "SystemSharedMemoryUnregister"
_CLOSING_SECONDS = 1.0


class Sharing:
    """The shared memory of one client, and what its servers know of it.

    Raises:
        UsageError: If this host has none.
    """

    def __init__(self) -> None:
        self._memory = SharedMemory()
        self._tidied: set[str] = set()

    def send(self, server: Server, request: Request) -> Steps[bytes]:
        """Sends a batch and returns the bytes of the answer.

        A server that was restarted knows none of the segments that it was told of: each is found out and replaced.

        Raises:
            RequestError: If the server takes no segment.
        """
        while True:
            with self._memory.lease(server.url, request.batch) as lease:
                if lease is None:
                    return (yield from server.call("ModelInfer", encode_request(request)))
                was_known = lease.registered
                if not was_known:
                    yield from self._register(server, lease)
                message = request_header(request)
                lease.describe(message.inputs[0])
                try:
                    return (yield from server.call("ModelInfer", message.SerializeToString()))
                except CallFailed as failed:
                    if not (was_known and is_unknown_region(failed.why)):
                        raise
                    lease.discard()

    def closing_calls(self, url: str, metadata: Metadata) -> list[Call]:
        """What to tell a server in the end."""
        return [
            Call(url, _UNREGISTER, message.SerializeToString(), metadata, _CLOSING_SECONDS)
            for message in self._memory.unregistrations(url)
        ]

    def close(self) -> None:
        """Frees the memory."""
        self._memory.close()

    def _register(self, server: Server, lease: Lease) -> Steps[None]:
        with lease.registering() as message:
            try:
                yield from server.call("SystemSharedMemoryRegister", message.SerializeToString())
            except CallFailed as failed:
                if is_refusal(failed):
                    raise refused(server.url, failed.why) from failed
                raise
        if server.url not in self._tidied:
            self._tidied.add(server.url)
            with suppress(CallFailed):
                yield from self._tidy(server)

    def _tidy(self, server: Server) -> Steps[None]:
        """Has the server forget the segments of clients that have died."""
        answer = yield from server.call("SystemSharedMemoryStatus", b"")
        status = parsed(service_pb2.SystemSharedMemoryStatusResponse.FromString, answer)
        for message in self._memory.abandoned(status.regions):
            yield from server.call(_UNREGISTER, message.SerializeToString())
