"""Ports of the embedded server."""

import socket

import pytest

from camserve.errors import ServerError, UsageError
from camserve.serving.server.ports import choose_ports, client_address


def _on(host: str, ports: dict[str, int]) -> dict[str, tuple[str, int]]:
    return {service: (host, port) for service, port in ports.items()}


def test_zero_chooses_different_free_ports() -> None:
    ports = choose_ports(_on("127.0.0.1", {"HTTP": 0, "gRPC": 0, "metrics": 0}))
    assert len(set(ports.values())) == 3
    assert all(host == "127.0.0.1" and 1023 < port < 65536 for host, port in ports.values())


def test_a_port_in_use_is_reported_with_its_option() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(ServerError, match=rf"gRPC port {port} on 127.0.0.1 is already in use.*--grpc-port"):
            choose_ports(_on("127.0.0.1", {"HTTP": 0, "gRPC": port}))
    assert choose_ports({"gRPC": ("127.0.0.1", port)}) == {"gRPC": ("127.0.0.1", port)}


@pytest.mark.parametrize("port", [-1, 65536])
def test_an_invalid_port_is_refused(port: int) -> None:
    with pytest.raises(UsageError, match=f"the HTTP port must be from 0 to 65535, got {port}"):
        choose_ports(_on("127.0.0.1", {"HTTP": port}))


def test_two_services_cannot_share_a_port() -> None:
    with pytest.raises(UsageError, match="cannot share"):
        choose_ports(_on("127.0.0.1", {"HTTP": 8000, "gRPC": 8000}))


@pytest.mark.parametrize("host", ["192.0.2.1", "::1", "no.such.host.invalid"])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(ServerError, match=f"cannot listen on {host}.*IPv4 address"):
        choose_ports(_on(host, {"HTTP": 0}))


def test_clients_reach_a_wildcard_address_over_the_loopback() -> None:
    assert client_address("0.0.0.0", 1) == "127.0.0.1:1"
    assert client_address("10.0.0.7", 1) == "10.0.0.7:1"
