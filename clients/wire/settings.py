"""Settings of gRPC channels: one place, so that none replaces another."""

from __future__ import annotations

import grpc

from camserve.clients.wire.options import ConnectionOptions, is_local

__all__ = ["SERVICE", "compression", "credentials", "settings"]

SERVICE = "/inference.GRPCInferenceService/"
"""What the name of a method follows."""

_COMPRESSION = {
    "none": grpc.Compression.NoCompression,
    "gzip": grpc.Compression.Gzip,
    "deflate": grpc.Compression.Deflate,
}
# Triton takes a third ping within five minutes without data for an attack, and hangs up.
_KEEPALIVE_MS = 310_000
# Also the time that sent data may stay unacknowledged (TCP_USER_TIMEOUT): what notices a dead peer.
_KEEPALIVE_TIMEOUT_MS = 10_000


def settings(options: ConnectionOptions, url: str) -> list[tuple[str, int]]:
    """The settings of a channel to an address."""
    return [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.enable_retries", 0),  # it would retry what must not be, past what was asked for
        # gRPC sends even what is for this host through the proxy of the environment, and a token with it.
        ("grpc.enable_http_proxy", 0 if is_local(url) else 1),
        ("grpc.use_local_subchannel_pool", 1),  # so that closing a channel closes its connection
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.min_reconnect_backoff_ms", round(options.connect_timeout * 1000)),  # of an attempt to connect
        ("grpc.dns_min_time_between_resolutions_ms", 2_000),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 0),
    ]


def compression(options: ConnectionOptions) -> grpc.Compression:
    """How messages are compressed."""
    return _COMPRESSION[options.compression]


def credentials(options: ConnectionOptions) -> grpc.ChannelCredentials | None:
    """What encrypts a channel; None for a plain one.

    Raises:
        UsageError: If a file cannot be read.
    """
    return None if options.tls is None else grpc.ssl_channel_credentials(*options.tls.read())
