"""The server of the page: connections, their limits, and its end."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from camserve.errors import ClientError
from camserve.images.decode_options import DecodeOptions
from camserve.serving.server.ports import client_address, explain_unusable_port, resolve_host
from camserve.view.document import render_page
from camserve.view.handler import Handler
from camserve.view.options import ViewOptions
from camserve.view.same_origin import own_names
from camserve.view.versions import Versions

__all__ = ["PageServer"]

_log = logging.getLogger("camserve.view")

_BUSY = b'{"error": {"type": "ClientError", "message": "too many connections at once", "hint": "Try again later"}}'
_BUSY_ANSWER = (
    b"HTTP/1.0 503 Service Unavailable\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BUSY), _BUSY)
)
_WAIT_SECONDS = 30.0


class PageServer(ThreadingMixIn, TCPServer):
    """Serves the page of a model, with a thread for each connection.

    Args:
        versions: The model; the caller closes it after the server.
        options: Where to listen.
        decode_options: How images are decoded, as the classifiers of `versions` do.

    Raises:
        ServerError: If the address cannot be listened on.
    """

    allow_reuse_address = True
    daemon_threads = True  # at the end, nobody waits for a browser
    request_queue_size = 64

    def __init__(self, versions: Versions, options: ViewOptions, decode_options: DecodeOptions) -> None:
        self.versions = versions
        self.options = options
        self.decode_options = decode_options
        self.names = own_names(options)
        self.page = render_page(versions.model, versions.servers, decode_options.max_bytes)
        self._slots = threading.BoundedSemaphore(options.connections)
        self._turns = threading.BoundedSemaphore(options.classifications)
        self._reading: dict[socket.socket, float] = {}
        try:
            super().__init__((resolve_host(options.host), options.port), Handler)
        except OSError as error:
            raise explain_unusable_port(error, options.host, "HTTP", options.port, "--port") from None

    @property
    def port(self) -> int:
        """The port of the page."""
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        """The address of the page, for a browser on this host."""
        return f"http://{client_address(self.options.host, self.port)}/"

    @contextmanager
    def classifying(self) -> Iterator[None]:
        """Wait for a turn to read and classify an image.

        Raises:
            ClientError: If others take too long.
        """
        if not self._turns.acquire(timeout=_WAIT_SECONDS):
            raise ClientError("too many images are being classified", hint="Try again later")
        try:
            yield
        finally:
            self._turns.release()

    def finished_reading(self, connection: socket.socket) -> None:
        """End the time limit for receiving a request."""
        self._reading.pop(connection, None)

    def service_actions(self) -> None:
        """Close connections that have not sent their request in time; called every half second."""
        now = time.monotonic()
        for connection, deadline in list(self._reading.items()):
            if now > deadline:
                self.finished_reading(connection)
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread of its own, or refuse it."""
        if not self._slots.acquire(blocking=False):
            with suppress(OSError):
                request.settimeout(0.1)
                request.sendall(_BUSY_ANSWER)
            self.shutdown_request(request)
            return
        self._reading[request] = time.monotonic() + self.options.reading_seconds
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._slots.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer a connection, and close it."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.finished_reading(request)
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Ignore a browser that has gone."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            _log.error("unexpected %s: %s", type(error).__name__, error)
