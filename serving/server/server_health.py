"""Readiness of a running server, and the versions that it serves, without tritonclient."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from typing import Any

from camserve.errors import ServerError
from camserve.serving.live.connection import ADMIN_HEADER
from camserve.strict_json import parse_json

__all__ = ["is_ready", "served_over_http"]

_PROBE_SECONDS = 2.0
_REQUEST_SECONDS = 10.0


def is_ready(addresses: Mapping[str, str]) -> bool:
    """Check that every service accepts connections and that HTTP, if enabled, reports that all models are ready.

    Triton opens its ports only after loading the models, so an open port means ready, too. No gRPC request is sent,
    since an encrypted server may require the certificate of a client.

    Args:
        addresses: `host:port` by service.
    """
    if "HTTP" in addresses and not _reports_ready(addresses["HTTP"]):
        return False
    return all(_listens(address) for address in addresses.values())


def served_over_http(address: str, admin_key: str | None) -> dict[str, tuple[int, ...]]:
    """Request the versions that a server serves over HTTP.

    Args:
        address: `host:port` of HTTP.
        admin_key: The admin key, if the server has one.

    Returns:
        The versions that are ready, lowest first, by model.

    Raises:
        ServerError: If the request fails.
    """
    connection = http.client.HTTPConnection(address, timeout=_REQUEST_SECONDS)
    headers = {} if admin_key is None else {ADMIN_HEADER: admin_key}
    try:
        connection.request("POST", "/v2/repository/index", body="{}", headers=headers)
        response = connection.getresponse()
        body = response.read().decode("utf-8", errors="replace")
        if response.status != http.HTTPStatus.OK:
            raise _failed(address, body)
        return _ready_versions(parse_json(body))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _failed(address, error) from None
    finally:
        connection.close()


def _ready_versions(entries: list[dict[str, Any]]) -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = {}
    for entry in entries:
        if entry.get("state") == "READY":
            found.setdefault(entry["name"], []).append(int(entry["version"]))
    return {name: tuple(sorted(found[name])) for name in sorted(found)}


def _failed(address: str, error: Exception | str) -> ServerError:
    return ServerError(f"the server {address} cannot list its models: {error}")


def _reports_ready(address: str) -> bool:
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
