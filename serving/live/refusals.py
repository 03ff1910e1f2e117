"""What a server refuses, in plain words, with what to do about it."""

from __future__ import annotations

import re

from tritonclient.utils import InferenceServerException

from camserve.errors import ServerError

__all__ = ["explained", "plain"]

_LOST = ("DEADLINE_EXCEEDED", "UNAVAILABLE")
_NOT_FOUND = "failed to poll from model repository"
_TRACE = re.compile(r"\s+At:\n(\s+\S+\(\d+\): \S+\n?)+")


def explained(url: str, what: str, error: InferenceServerException) -> ServerError:
    """The error that says what a server could not do.

    Args:
        url: The server.
        what: What it does not do, such as `cannot load toy`.
        error: What it said.
    """
    status, message = str(error.status() or "").rpartition(".")[2], plain(str(error.message()))
    if "load / unload is not allowed" in message:
        return ServerError(
            f"the server {url} does not load models on request: {message}",
            hint="Start it with explicit model control: camserve serve --model-control explicit, or "
            "tritonserver --model-control-mode=explicit",
        )
    if "restricted" in message:
        return ServerError(
            f"the server {url} {what} without the right key: {message}",
            hint="Give the file that holds the key: --admin-key-file, or the environment variable CAMSERVE_ADMIN_KEY",
        )
    if status in _LOST:
        return ServerError(
            f"no answer from the server {url}: {message}",
            hint="Is it running, is this its gRPC port, and is TLS on at both ends or at neither?",
        )
    seen = "Does it serve this repository, and see its files as they are now?"
    return ServerError(f"the server {url} {what}: {message}", hint=seen if _NOT_FOUND in message else None)


def plain(message: str) -> str:
    """In one line, without the traceback of Triton's Python stub."""
    return " ".join(_TRACE.sub("", message).split()).rstrip(".;: ")
