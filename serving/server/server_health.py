"""Whether a running server is ready, and what it says that it serves."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from typing import Any

from camserve.errors import ServerError
from camserve.serving.server.command import ADMIN_HEADER

__all__ = ["GRPC_HEADER_PREFIX", "is_ready", "served_by_grpc", "served_by_http"]

GRPC_HEADER_PREFIX = "triton-grpc-protocol-"
"""Before a restricted protocol's header in gRPC's metadata."""

_PROBE_SECONDS = 2.0
_ANSWER_SECONDS = 10.0

Served = dict[str, tuple[int, ...]]
"""Versions that a server answers for, lowest first, by model."""


def is_ready(addresses: Mapping[str, str]) -> bool:
    """Whether every service answers, and HTTP, where it is served, says that every model is ready.

    Triton opens its ports only once the models it was told to load are there, so an open port says so too. gRPC is not
    asked, since encrypted it may want a certificate of a client.

    Args:
        addresses: `host:port` by service.
    """
    if "HTTP" in addresses and not _says_ready(addresses["HTTP"]):
        return False
    return all(_listens(address) for address in addresses.values())


def served_by_http(address: str, admin_key: str | None) -> Served:
    """What a server serves, asked over HTTP.

    Raises:
        ServerError: If it does not answer.
    """
    connection = http.client.HTTPConnection(address, timeout=_ANSWER_SECONDS)
    headers = {} if admin_key is None else {ADMIN_HEADER: admin_key}
    try:
        connection.request("POST", "/v2/repository/index", body="{}", headers=headers)
        answer = connection.getresponse()
        told = answer.read().decode("utf-8", errors="replace")
        if answer.status != http.HTTPStatus.OK:
            raise _silent(address, told)
        return _ready(json.loads(told))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _silent(address, error) from error
    finally:
        connection.close()


def served_by_grpc(address: str, admin_key: str | None) -> Served:
    """What a server serves, asked over gRPC without encryption.

    Raises:
        ServerError: If it does not answer.
    """
    from tritonclient.grpc import InferenceServerClient  # noqa: PLC0415 - heavy, and seldom needed here
    from tritonclient.utils import InferenceServerException  # noqa: PLC0415

    headers = {} if admin_key is None else {f"{GRPC_HEADER_PREFIX}{ADMIN_HEADER}": admin_key}
    try:
        with InferenceServerClient(address) as client:
            index = client.get_model_repository_index(headers=headers, as_json=True, client_timeout=_ANSWER_SECONDS)
    except InferenceServerException as error:
        raise _silent(address, error) from error
    return _ready(index.get("models", []))


def _ready(entries: list[dict[str, Any]]) -> Served:
    found: dict[str, list[int]] = {}
    for entry in entries:
        if entry.get("state") == "READY":
            found.setdefault(entry["name"], []).append(int(entry["version"]))
    return {name: tuple(sorted(found[name])) for name in sorted(found)}


def _silent(address: str, error: Exception | str) -> ServerError:
    return ServerError(f"Triton at {address} does not say what it serves: {error}")


def _says_ready(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_PROBE_SECONDS).close()
    except OSError:
        return False
    return True
