"""Run a server until it ends: report that it is ready, drain it on a signal, and return its exit code."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

from camserve.cli.console import print_json, print_line, print_note, print_warning
from camserve.cli.signals import SIGNAL_EXIT_CODE, Signaled, signals_as_exits
from camserve.errors import ServerError

if TYPE_CHECKING:
    from camserve.serving import TritonServer
    from camserve.serving.server.supervisor import Restart

__all__ = ["run_until_end"]

_LOG_LINES = 15
_DRAINING = (signal.SIGINT, signal.SIGTERM)


def run_until_end(server: TritonServer, *, restart: bool, as_json: bool) -> None:
    """Start a server, report when it is ready, and wait until it ends or SIGINT or SIGTERM drains it.

    Args:
        server: The server.
        restart: Whether to start it again if it dies.
        as_json: Whether to print JSON documents: one for each start, and one before each restart.

    Raises:
        ServerError: If it does not become ready, ends by itself with an exit code other than 0, or does not drain in
            time.
    """
    with signals_as_exits(_DRAINING, second_interrupt=False):
        try:
            print_note("Starting Triton")
            with _log_in_errors(server):
                server.start()
                if server.fixed:
                    print_note("Triton is a copy with a fix for cancelled requests; --original-program disables it")
                _print_ready(server, as_json=as_json)
                code = _supervise(server, as_json=as_json) if restart else server.wait()
        except Signaled as signaled:
            if signaled.signal not in _DRAINING:
                raise
            _drain(server)
            return
        finally:
            server.stop()
    _exit_as(code, server, restart=restart)


def _supervise(server: TritonServer, *, as_json: bool) -> int:
    from camserve.serving.server.supervisor import supervise

    def report_restart(restart: Restart) -> None:
        print_warning(f"{restart}; the end of its log:\n{_last_lines(restart.log)}")
        if as_json:
            limit = restart.limit
            print_json(
                {
                    "restart": {
                        "cause": restart.cause,
                        "reason": restart.reason,
                        "number": restart.number,
                        "limit": limit.restarts,
                        "period_seconds": limit.period,
                        "delay_seconds": restart.delay,
                    }
                }
            )

    def report_ready(missing: tuple[str, ...]) -> None:
        for failure in missing:
            print_warning(f"{failure}; it is not served")
        _print_ready(server, as_json=as_json)

    return supervise(server, on_restart=report_restart, on_ready=report_ready)


def _drain(server: TritonServer) -> None:
    from camserve.serving.server.supervisor import outcome

    print_note(f"Stopping; requests in flight have {server.options.drain_seconds} s to finish")
    code = server.stop()
    if code != 0:
        raise ServerError(
            f"Triton ended {outcome(code)} instead of 0, so requests may have been lost; the end of its log:\n"
            f"{_log_end(server)}",
            hint="Give requests more time with --drain SECONDS",
        )
    print_note("Stopped")


def _exit_as(code: int, server: TritonServer, *, restart: bool) -> NoReturn:
    """End the program with the exit code of a Triton that ended by itself."""
    from camserve.serving.server.supervisor import RestartLimit, outcome

    if code == 0:
        print_note("Triton ended by itself with exit code 0")
        raise typer.Exit(0)
    given_up = f" and is not started again (limit: {RestartLimit()})" if restart else ""
    error = ServerError(f"Triton ended {outcome(code)}{given_up}; the end of its log:\n{_log_end(server)}")
    error.exit_code = code if code > 0 else SIGNAL_EXIT_CODE - code
    raise error


@contextmanager
def _log_in_errors(server: TritonServer) -> Iterator[None]:
    """Add the end of the log to the error of a server that was started, unless that is explained already."""
    try:
        yield
    except ServerError as error:
        end = _log_end(server)
        if not end or error.explained or "\n" in error.message:  # the log is missing, not needed or in the message
            raise
        raise ServerError(f"{error.message}; the end of its log:\n{end}", hint=error.hint) from None


def _log_end(server: TritonServer) -> str:
    return _last_lines(server.log_tail)


def _last_lines(log: str) -> str:
    return "\n".join(log.splitlines()[-_LOG_LINES:])


def _print_ready(server: TritonServer, *, as_json: bool) -> None:
    names = {"gRPC": "grpc", "HTTP": "http", "metrics": "metrics"}
    addresses = {names[service]: address for service, address in server.addresses.items()}
    if "metrics" in addresses:
        addresses["metrics"] = server.metrics_url
    try:
        models = {name: list(versions) for name, versions in server.served().items()}
    except ServerError as error:  # it may have died already, which is reported next
        print_warning(error.message)
        return
    changes = server.cpu_changes
    if as_json:
        on_cpu = {"on_cpu": dict(changes)} if server.options.cpu else {}
        print_json({**addresses, "models": models, "warnings": list(server.warnings), **on_cpu})
        return
    if changes:
        print_note(f"On the CPU: {'; '.join(changes.values())}. The repository is unchanged")
    print_line(f"Ready: {', '.join(_titles(models)) or 'no model is loaded'}")
    for name, address in addresses.items():
        print_line(f"  {name:8} {address}{' (TLS)' if name == 'grpc' and server.options.tls else ''}")
    if server.options.model_control == "explicit" and server.options.admin_key is None:
        print_warning(
            "any client that reaches these addresses can load models, and with them programs; --admin-key-file FILE "
            "restricts that"
        )
    print_note("Stop it with Ctrl-C")


def _titles(models: dict[str, list[int]]) -> list[str]:
    return [f"{name} (version {', '.join(map(str, versions))})" for name, versions in models.items()]
