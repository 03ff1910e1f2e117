"""`camserve serve`: the embedded Triton over a repository, until it is told to end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from camserve.cli.console import note, print_json, say
from camserve.cli.options import Json, Repository
from camserve.errors import ServerError

if TYPE_CHECKING:
    from camserve.serving import TritonServer

__all__ = ["register"]

_LOG_LINES = 15
_EPILOG = "Example:  camserve serve --repository model_repository --grpc-port 9001"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=_EPILOG)(serve)


def serve(
    repository: Repository,
    http_port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port of HTTP; 0 takes a free one.")
    ] = 8000,
    grpc_port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port of gRPC; 0 takes a free one.")
    ] = 8001,
    metrics_port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port of the metrics; 0 takes a free one.")
    ] = 8002,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File that Triton's log is appended to.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Serve a repository with the embedded Triton. Runs until it is interrupted."""
    from camserve.serving import TritonServer

    note("Starting Triton")
    server = TritonServer(
        repository, host=host, http_port=http_port, grpc_port=grpc_port, metrics_port=metrics_port, log=log
    )
    with _signals_as_exceptions():
        try:
            with _log_shown(server), server:
                _say_ready(server, as_json=as_json)
                code = server.wait()
        except _Signalled:
            note("Stopped")
            return
    raise ServerError(f"Triton ended by itself with {_outcome(code)}; the end of its log:\n{_log_end(server)}")


@contextmanager
def _log_shown(server: TritonServer) -> Iterator[None]:
    """Adds the end of the log to the failure of a server that was started."""
    try:
        yield
    except ServerError as error:
        end = _log_end(server)
        if not end or "\n" in error.message:  # it has none, or is told already
            raise
        raise ServerError(f"{error.message}; the end of its log:\n{end}", hint=error.hint) from error


def _log_end(server: TritonServer) -> str:
    return "\n".join(server.log_tail.splitlines()[-_LOG_LINES:])


def _outcome(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


class _Signalled(BaseException):
    """SIGINT or SIGTERM arrived; no Exception, so that nothing on the way handles it as a failure."""


@contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    """Makes the first SIGINT or SIGTERM a `_Signalled`; further ones do not disturb the way out."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise _Signalled

    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_ready(server: TritonServer, *, as_json: bool) -> None:
    addresses = {"grpc": server.grpc_url, "http": server.http_url, "metrics": server.metrics_url}
    models = {name: list(versions) for name, versions in server.served().items()}
    if as_json:
        print_json({**addresses, "models": models})
        return
    names = ", ".join(f"{name} (version {', '.join(map(str, served))})" for name, served in models.items())
    say(f"Ready: {names}")
    for name, address in addresses.items():
        say(f"  {name:8} {address}")
    note("End it with Ctrl-C")
