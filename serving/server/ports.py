"""Ports of the embedded server: free ones found, taken ones named."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from contextlib import ExitStack

from camserve.errors import ServerError, UsageError

__all__ = ["choose_ports", "reachable", "resolve"]


def choose_ports(wanted: Mapping[str, tuple[str, int]]) -> dict[str, tuple[str, int]]:
    """The address and port of each service: the port that is wanted, or a free one for 0.

    Args:
        wanted: IPv4 address to listen on and port by service, such as `{"HTTP": ("127.0.0.1", 8000)}`.

    Raises:
        ServerError: If a wanted port is taken or may not be used, or an address is none of this machine.
        UsageError: If a number is no port, or two services want one port.
    """
    _check_numbers({service: port for service, (_, port) in wanted.items()})
    with ExitStack() as bound:
        return {service: (host, _bind(bound, host, service, port)) for service, (host, port) in wanted.items()}


def reachable(host: str, port: int) -> str:
    """`host:port` by which a client on this machine reaches a server that listens on `host`."""
    return f"{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 - recognised, not bound


def resolve(host: str) -> str:
    """The IPv4 address of a host; of a name, Triton's HTTP service says that it listens there, and does not.

    Raises:
        ServerError: If it has none.
    """
    try:
        return socket.gethostbyname(host)
    except OSError as error:
        raise _unusable(host, error) from error


def _check_numbers(wanted: Mapping[str, int]) -> None:
    for service, port in wanted.items():
        if not 0 <= port <= 65535:
            raise UsageError(f"{port} is no {service} port", hint="Give a port from 1 to 65535, or 0 for any free one")
    fixed = [port for port in wanted.values() if port]
    if len(set(fixed)) != len(fixed):
        raise UsageError(f"{', '.join(wanted)} cannot share a port", hint="Give each a port of its own")


def _bind(bound: ExitStack, host: str, service: str, port: int) -> int:
    try:
        listener = bound.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        return int(listener.getsockname()[1])
    except OSError as error:
        raise _explained(error, host, service, port) from error


def _explained(error: OSError, host: str, service: str, port: int) -> ServerError:
    if error.errno == errno.EADDRINUSE:
        return ServerError(
            f"the {service} port {port} on {host} is taken",
            hint=f"End what listens there, or choose another with --{service.lower()}-port (0 takes any free one)",
        )
    if error.errno == errno.EACCES:
        return ServerError(f"the {service} port {port} may not be used by this user", hint="Choose one above 1023")
    return _unusable(host, error)


def _unusable(host: str, error: OSError) -> ServerError:
    reason = error.strerror or error
    return ServerError(f"the server cannot listen on {host}: {reason}", hint="Give an IPv4 address of this host")
