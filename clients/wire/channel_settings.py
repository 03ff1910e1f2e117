"""Options of gRPC channels."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

import grpc

from camserve.clients.threads import check_threads_of_grpc
from camserve.clients.wire.connection_options import ConnectionOptions, is_local

__all__ = ["SERVICE", "dialler", "settings"]

C = TypeVar("C")

SERVICE = "/inference.GRPCInferenceService/"
"""Prefix of the name of a method."""

_MIB = 1024 * 1024
_LARGEST_REPLIES = {"": 16 * _MIB, "ModelConfig": 64 * _MIB, "ModelInfer": 1024 * _MIB}
"""The largest reply to a method, in bytes, or to any other (""): a larger one is refused before memory is allocated."""

_COMPRESSION = {
    "none": grpc.Compression.NoCompression,
    "gzip": grpc.Compression.Gzip,
    "deflate": grpc.Compression.Deflate,
}
# Triton closes the connection at the third ping within five minutes without data.
_KEEPALIVE_MS = 310_000
# Also the limit for unacknowledged data (TCP_USER_TIMEOUT), which detects a dead peer.
_KEEPALIVE_TIMEOUT_MS = 10_000


def settings(options: ConnectionOptions, url: str) -> list[tuple[str, int | str]]:
    """Return the options of a channel to an address."""
    return [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),  # the service configuration limits it by method
        ("grpc.service_config", _service_config()),
        ("grpc.enable_retries", 0),  # gRPC would retry requests that must not be, beyond `retries`
        # gRPC would use the proxy of the environment even for this host, and send it the token.
        ("grpc.enable_http_proxy", 0 if is_local(url) else 1),
        ("grpc.use_local_subchannel_pool", 1),  # so that closing a channel closes its connection
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.min_reconnect_backoff_ms", round(options.connect_timeout * 1000)),  # of an attempt to connect
        ("grpc.dns_min_time_between_resolutions_ms", 1_000),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 0),
    ]


def _service_config() -> str:
    """Source: https://github.com/grpc/grpc-proto/blob/master/grpc/service_config/service_config.proto."""
    service = SERVICE.strip("/")
    limits = [
        {
            "name": [{"service": service, "method": method} if method else {"service": service}],
            "maxResponseMessageBytes": most,
        }
        for method, most in _LARGEST_REPLIES.items()
    ]
    return json.dumps({"methodConfig": limits})


def dialler(options: ConnectionOptions, plain: Callable[..., C], encrypted: Callable[..., C]) -> Callable[[str], C]:
    """Return the function that opens a channel to an address.

    Args:
        options: The connection options.
        plain: `insecure_channel` of `grpc` or `grpc.aio`.
        encrypted: `secure_channel` of the same.

    Raises:
        UsageError: If a file of `options.tls` cannot be read.
        ClientError: If the system refuses the threads of gRPC.
    """
    check_threads_of_grpc()
    secrets = None if options.tls is None else grpc.ssl_channel_credentials(*options.tls.read())
    compression = _COMPRESSION[options.compression]

    def dial(url: str) -> C:
        if secrets is None:
            return plain(url, settings(options, url), compression)
        return encrypted(url, secrets, settings(options, url), compression)

    return dial
