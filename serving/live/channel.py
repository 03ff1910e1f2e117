"""The connection to a running server."""

from __future__ import annotations

from typing import Any

import tritonclient.grpc as triton

from camserve.address import check_address
from camserve.tls import ClientTls

__all__ = ["connect"]


def connect(url: str, tls: ClientTls | None) -> Any:
    """A client of tritonclient; nothing is sent yet.

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
