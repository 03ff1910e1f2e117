"""A server from its start to its end: when it is ready, what ends it, and with which exit code."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import typer

from camserve.cli.console import note, print_json, say
from camserve.errors import ServerError

if TYPE_CHECKING:
    from camserve.serving import TritonServer

__all__ = ["run_until_end"]

_LOG_LINES = 15
_KILLED = 128  # a shell's exit code for a program that a signal ended is this plus the signal


def run_until_end(server: TritonServer, *, as_json: bool) -> None:
    """Starts a server, says when it is ready, and waits for its end or for SIGINT or SIGTERM, which end it in order.

    Raises:
        ServerError: If it does not become ready, ends by itself with another code than 0, or cuts requests off.
    """
    with _signals_as_exceptions():
        try:
            note("Starting Triton")
            with _log_shown(server):
                server.start()
                _say_ready(server, as_json=as_json)
                code = server.wait()
        except _Signalled:
            _end(server)
            return
        finally:
            server.stop()
    _hand_on(code, server)


def _end(server: TritonServer) -> None:
    drain = server.options.drain_seconds
    note(f"Ending; requests in flight are answered, for {drain} s at most")
    code = server.stop()
    if code != 0:
        raise ServerError(
            f"Triton ended with {_outcome(code)} instead of 0; requests may have been cut off; the end of its log:\n"
            f"{_log_end(server)}",
            hint="Give them longer: --drain SECONDS",
        )
    note("Stopped")


def _hand_on(code: int, server: TritonServer) -> NoReturn:
    """Ends the program as Triton did that ended without being told to."""
    if code == 0:
        note("Triton ended by itself with exit code 0")
        raise typer.Exit(0)
    error = ServerError(f"Triton ended by itself with {_outcome(code)}; the end of its log:\n{_log_end(server)}")
    error.exit_code = code if code > 0 else _KILLED - code
    raise error


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
    names = {"gRPC": "grpc", "HTTP": "http", "metrics": "metrics"}
    addresses = {names[service]: address for service, address in server.addresses.items()}
    if "metrics" in addresses:
        addresses["metrics"] = server.metrics_url
    models = {name: list(versions) for name, versions in server.served().items()}
    if as_json:
        print_json({**addresses, "models": models})
        return
    say(f"Ready: {', '.join(_served(models)) or 'no model is loaded'}")
    for name, address in addresses.items():
        say(f"  {name:8} {address}{' (TLS)' if name == 'grpc' and server.options.tls else ''}")
    if server.options.model_control == "explicit" and server.options.admin_key is None:
        note("Whoever reaches these addresses can load models, and with them programs; an admin key prevents that")
    note("End it with Ctrl-C")


def _served(models: dict[str, list[int]]) -> list[str]:
    return [f"{name} (version {', '.join(map(str, versions))})" for name, versions in models.items()]
