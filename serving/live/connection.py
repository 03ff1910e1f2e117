"""The gRPC connection to a running server."""

from __future__ import annotations

from typing import Any

import tritonclient.grpc as triton

from camserve.address import check_address
from camserve.tls import ClientTls

__all__ = ["ADMIN_HEADER", "CPU_SERVER", "GRPC_HEADER_PREFIX", "connect"]

ADMIN_HEADER = "camserve-admin-key"
"""Name of the HTTP header that carries the admin key; in gRPC metadata it follows `GRPC_HEADER_PREFIX`."""

GRPC_HEADER_PREFIX = "triton-grpc-protocol-"
"""Prefix of the header of a restricted protocol in gRPC metadata."""

CPU_SERVER = "camserve-cpu"
"""Name of a server that serves models on the CPU that were published for GPUs, in its metadata."""


def connect(url: str, tls: ClientTls | None) -> Any:
    """Create a client of tritonclient, without sending anything.

    Raises:
        UsageError: If `url` is not `host:port`.
    """
    check_address(url)
    if tls is None:
        return triton.InferenceServerClient(url)
    return triton.InferenceServerClient(
        url,
        ssl=True,
        root_certificates=None if tls.ca is None else str(tls.ca),
        certificate_chain=None if tls.certificate is None else str(tls.certificate),
        private_key=None if tls.key is None else str(tls.key),
    )
