"""Ports of the embedded server: finding free ones and reporting those in use."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from contextlib import ExitStack

from camserve.errors import ServerError, UsageError

__all__ = ["choose_ports", "client_address", "explain_unusable_port", "resolve_host"]

_MAX_PORT = 65_535


def choose_ports(requested: Mapping[str, tuple[str, int]]) -> dict[str, tuple[str, int]]:
    """Choose the address and port of each service, with a free port in place of 0.

    Args:
        requested: IPv4 address and port by service, such as `{"HTTP": ("127.0.0.1", 8000)}`.

    Raises:
        ServerError: If a port is in use or not permitted, or an address does not belong to this machine.
        UsageError: If a port number is invalid, or two services have the same port.
    """
    _check_numbers({service: port for service, (_, port) in requested.items()})
    with ExitStack() as listeners:
        return {service: (host, _bind(listeners, host, service, port)) for service, (host, port) in requested.items()}


def client_address(host: str, port: int) -> str:
    """Return the `host:port` at which clients on this machine reach a server that listens on `host`."""
    return f"{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 - compared, not bound


def resolve_host(host: str) -> str:
    """Resolve a host to its IPv4 address. Given a name, Triton's HTTP service reports success and does not listen.

    Raises:
        ServerError: If the host has no IPv4 address.
    """
    try:
        return socket.gethostbyname(host)
    except OSError as error:
        raise _unusable(host, error) from None


def _check_numbers(ports: Mapping[str, int]) -> None:
    for service, port in ports.items():
        if not 0 <= port <= _MAX_PORT:
            raise UsageError(
                f"the {service} port must be from 0 to {_MAX_PORT}, got {port}", hint="Use 0 to choose any free port"
            )
    fixed = [port for port in ports.values() if port]
    if len(set(fixed)) != len(fixed):
        raise UsageError(f"{', '.join(ports)} cannot share a port", hint="Use a different port for each service")


def _bind(listeners: ExitStack, host: str, service: str, port: int) -> int:
    try:
        listener = listeners.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        return int(listener.getsockname()[1])
    except OSError as error:
        raise explain_unusable_port(error, host, service, port, f"--{service.lower()}-port") from None


def explain_unusable_port(error: OSError, host: str, service: str, port: int, option: str) -> ServerError:
    """Return the error for an address that cannot be listened on.

    Args:
        error: What the system reported.
        host: The address.
        service: What should listen there, such as `gRPC`.
        port: The port.
        option: The option that chooses another port.
    """
    if error.errno == errno.EADDRINUSE:
        return ServerError(
            f"the {service} port {port} on {host} is already in use",
            hint=f"Stop the program that uses it, or choose another port with {option} ({option} 0: any free port)",
        )
    if error.errno == errno.EACCES:
        return ServerError(
            f"this user is not permitted to use the {service} port {port}",
            hint=f"Choose a port above 1023 with {option}",
        )
    return _unusable(host, error)


def _unusable(host: str, error: OSError) -> ServerError:
    reason = error.strerror or error
    return ServerError(
        f"the server cannot listen on {host}: {reason}", hint="Use an IPv4 address of this machine with --host"
    )
