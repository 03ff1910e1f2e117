"""Waiting until a started server is ready, and why it is not."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

from camserve.errors import ServerError
from camserve.serving.live.no_gpu import lacks_gpu
from camserve.serving.server.host_hints import host_hint, limits_hint
from camserve.serving.server.launch import Run
from camserve.serving.server.server_health import is_ready

__all__ = ["StartupCrashError", "await_ready"]

_POLL_SECONDS = 0.05


class StartupCrashError(ServerError):
    """The server process ended before it was ready.

    Args:
        failure: Why, as an error for callers that do not start it again.
        code: Exit code of the server, or the negative number of the signal that ended it.
        log: The log of the run.
    """

    def __init__(self, failure: ServerError, *, code: int, log: str) -> None:
        super().__init__(failure.message, hint=failure.hint)
        self.failure = failure
        self.code = code
        self.log = log


def await_ready(run: Run, repository: Path, timeout: float) -> None:
    """Wait until a server is ready.

    Args:
        run: The run of the server.
        repository: Its repository.
        timeout: Seconds until it must be ready.

    Raises:
        StartupCrashError: If it ends before.
        ServerError: If it is not ready in time.
    """
    deadline = time.monotonic() + timeout
    while not is_ready(run.addresses):
        if run.process.exited:
            failure = _failure(run, repository, "ended before it was ready")
            raise StartupCrashError(failure, code=run.process.wait(), log=run.log_text)
        if time.monotonic() >= deadline:
            raise _failure(run, repository, f"was not ready within {timeout:g} s")
        time.sleep(_POLL_SECONDS)


def _failure(run: Run, repository: Path, what: str) -> ServerError:
    """Return the error for a failed start."""
    hint = host_hint(run.log_text, run.process.wait() if run.process.exited else None)
    failures = run.failures
    if not failures:
        return ServerError(f"Triton {what}; the end of its log:\n{run.log_tail}\n", hint=hint or limits_hint())
    without_gpu = [lacks_gpu(failure) for failure in failures]
    if any(without_gpu):
        hint = _without_gpu(run, repository)
    elif run.hints:
        hint = ". ".join(run.hints)
    error = ServerError(f"Triton cannot serve {repository}: {'; '.join(failures)}", hint=hint or _hint(failures))
    error.explained = all(without_gpu)
    return error


def _without_gpu(run: Run, repository: Path) -> str:
    """Return what to do about models that cannot use a GPU: what camserve's backends advise, or to use the CPU."""
    path = shlex.quote(str(repository))
    serve = f"camserve serve --repository {path} --cpu"
    if run.hints:
        return f"{'. '.join(run.hints)}. Or serve on the CPU: {serve}"
    publish = f"camserve publish BUNDLE_DIR --repository {path} --accelerator none"
    return f"Serve it on the CPU: {serve}, or publish it for the CPU: {publish}"


def _hint(failures: tuple[str, ...]) -> str | None:
    limits = limits_hint()
    if not any(failure.startswith("model ") for failure in failures):
        return limits
    publish = "Publish a working version of that model, or move its folder out of the repository"
    return f"{publish}. {limits}" if limits else publish
