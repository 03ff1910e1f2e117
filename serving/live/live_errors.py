"""Errors of a running server as `ServerError`, with a hint."""

from __future__ import annotations

import re

from tritonclient.utils import InferenceServerException

from camserve.errors import ServerError
from camserve.serving.live.backend_messages import split_hint
from camserve.serving.live.no_gpu import explain_missing_gpu, lacks_gpu
from camserve.text import shortened

__all__ = ["one_line", "server_error"]

_NO_ANSWER = ("DEADLINE_EXCEEDED", "UNAVAILABLE")
_NOT_FOUND = "failed to poll from model repository"
_WITHOUT_GPU = (
    "Publish it for the CPU with --accelerator none, or start the server with: camserve serve --repository DIR "
    "--model-control explicit --cpu"
)
_LOAD_FAILURE = "load failed for model"
_VERSION_FAILURE = re.compile(
    r"version (\d+) is at UNAVAILABLE state: (?:(?:Internal|Invalid argument|Unavailable|Not found): )?"
    r"(?:TritonModelException: )?"
)
_LONGEST, _SHOWN = 100_000, 2_000
_STUB_TRACEBACK = re.compile(r"\s+At:\n(\s+\S+\(\d+\): \S+\n?)+")


def server_error(url: str, action: str, error: InferenceServerException) -> ServerError:
    """Translate an error of tritonclient.

    Args:
        url: The server.
        action: What it could not do, such as `load toy`.
        error: The error.
    """
    status, message = str(error.status() or "").rpartition(".")[2], one_line(str(error.message()))
    if "load / unload is not allowed" in message:
        return ServerError(
            f"the server {url} does not load models on request: {message}",
            hint="Start it in explicit mode: camserve serve --repository DIR --model-control explicit, or "
            "tritonserver --model-control-mode=explicit",
        )
    if "restricted" in message:
        return ServerError(
            f"the server {url} cannot {action} without the correct admin key: {message}",
            hint="Set the file that contains the key with --admin-key-file, or the environment variable "
            "CAMSERVE_ADMIN_KEY",
        )
    if status in _NO_ANSWER:
        return ServerError(
            f"no answer from the server {url}: {message}",
            hint="Check that it is running, that this is its gRPC port, and that TLS is on at both ends or at neither",
        )
    refusal, hint = _refusal(message)
    refusal = explain_missing_gpu(refusal)
    if hint is not None:
        hint = f"{hint} (on the host of the server)"
    elif lacks_gpu(refusal):
        hint = _WITHOUT_GPU
    elif _NOT_FOUND in message:
        hint = "Check that it serves this repository and sees its current files"
    return ServerError(f"the server {url} cannot {action}: {refusal}", hint=hint)


def _refusal(message: str) -> tuple[str, str | None]:
    """Return why a server refused a request, for a load by version, and the hint of camserve's backends, if any."""
    start, *failures = _VERSION_FAILURE.split(message)
    if not failures or not start.startswith(_LOAD_FAILURE):
        return split_hint(message)
    reasons = [split_hint(reason.strip("; ")) for reason in failures[1::2]]
    refusals = (f"version {number}: {refusal}" for number, (refusal, _) in zip(failures[::2], reasons, strict=True))
    return "; ".join(refusals), next((hint for _, hint in reasons if hint is not None), None)


def one_line(message: str) -> str:
    """Return a message as one printable line of at most 2,000 characters, without the traceback of a Python stub."""
    message = _STUB_TRACEBACK.sub("", message[:_LONGEST])
    return shortened(" ".join(message.split()).rstrip(".;: "), _SHOWN)
