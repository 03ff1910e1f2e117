"""Requests over HTTP whose answers, errors included, are JSON; images are bodies of limited length."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from camserve.errors import (
    CamserveError,
    ConnectionFailedError,
    DeadlineError,
    ImageError,
    NotLoadedError,
    UsageError,
)
from camserve.images.files import check_length
from camserve.view.answers import error_document

__all__ = ["JsonHandler", "RefusedError"]

_STATUS: Mapping[type[CamserveError], HTTPStatus] = {
    UsageError: HTTPStatus.BAD_REQUEST,
    ImageError: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotLoadedError: HTTPStatus.NOT_FOUND,
    ConnectionFailedError: HTTPStatus.SERVICE_UNAVAILABLE,
    DeadlineError: HTTPStatus.GATEWAY_TIMEOUT,
    CamserveError: HTTPStatus.BAD_GATEWAY,
}
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_BLOCK = 2**16
_DISCARDED_BYTES, _DISCARDING_SECONDS = 2**22, 1.0
"""What is read of a refused body after the answer, so that its sender gets that instead of a lost connection."""


class RefusedError(UsageError):
    """A request that HTTP has a status for.

    Args:
        status: The status of the answer.
        message: What is wrong with it.
        hint: How to fix it.
    """

    def __init__(self, status: HTTPStatus, message: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class JsonHandler(BaseHTTPRequestHandler):
    """Answers one request; each connection carries one."""

    timeout = 30.0  # seconds without a byte, in either direction
    _body_read = False

    def version_string(self) -> str:
        """Return what the header `Server` contains."""
        return "camserve"

    def log_message(self, *_: Any) -> None:
        """Print nothing for each request."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Answer a request that is no valid HTTP, or has another method."""
        status = HTTPStatus(code)
        self.send_failure(RefusedError(status, message or status.phrase, "Open the page in a browser"))

    def send_failure(self, error: CamserveError) -> None:
        """Answer with an error."""
        known = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
        self.send_json({"error": error_document(error)}, error.status if isinstance(error, RefusedError) else known)
        self._discard_body()

    def send_json(self, document: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        """Answer with a JSON document."""
        self.send_content("application/json", json.dumps(document, allow_nan=False).encode(), status)

    def send_content(
        self, kind: str, body: bytes, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer with content of a type, which no cache may keep."""
        self.send_response(status)
        own = {"Content-Type": kind, "Content-Length": str(len(body))}
        for name, value in {**own, **_HEADERS, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def read_body(self, max_bytes: int) -> bytes:
        """Return the body of the request.

        Raises:
            RefusedError: If its length is unknown.
            ImageError: If it is longer than `max_bytes`.
        """
        length = self._length
        if length is None or self.headers.get("Transfer-Encoding") is not None:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "the length of the image is unknown", "Send Content-Length")
        check_length(length, f"the image of {length:,} bytes", max_bytes)
        self._body_read = True
        data = self.rfile.read(length)
        if len(data) < length:
            raise ConnectionResetError
        return data

    @property
    def _length(self) -> int | None:
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None

    def _discard_body(self) -> None:
        """Read the beginning of a body that has not been read; the connection is closed then."""
        if self._body_read or not hasattr(self, "headers"):
            return
        remaining, until = min(self._length or 0, _DISCARDED_BYTES), time.monotonic() + _DISCARDING_SECONDS
        self.connection.settimeout(_DISCARDING_SECONDS)
        with suppress(OSError):
            while remaining > 0 and time.monotonic() < until and (block := self.rfile.read1(min(remaining, _BLOCK))):
                remaining -= len(block)
