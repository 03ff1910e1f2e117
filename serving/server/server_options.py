"""Options of the embedded server."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from camserve.errors import UsageError
from camserve.serving.server.server_tls import Tls
from camserve.text import printable

__all__ = ["ADMIN_KEY_VARIABLE", "LogFormat", "ModelControl", "ServerOptions", "check_admin_key", "read_admin_key"]

ModelControl = Literal["none", "explicit"]
LogFormat = Literal["default", "iso8601"]

ADMIN_KEY_VARIABLE = "CAMSERVE_ADMIN_KEY"
"""Environment variable that can contain the admin key."""

_LOOPBACK = re.compile(r"127\.\d+\.\d+\.\d+|localhost")
# Only characters without a special meaning in Triton's option and in an HTTP header.
_KEY = re.compile(r"[A-Za-z0-9_.~-]{16,256}", re.ASCII)
_CREATE_KEY = "Create one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Options of the embedded server.

    Attributes:
        host: IPv4 address or host name to listen on (default: the loopback address).
        grpc_port: gRPC port; 0 chooses any free one.
        http: Whether to serve HTTP, which has no TLS (default: only if gRPC has no TLS either). Together with TLS, HTTP
            listens on the loopback address only.
        http_port: HTTP port; 0 chooses any free one.
        metrics: Whether to serve Prometheus metrics, which have no TLS.
        metrics_port: Port of the metrics; 0 chooses any free one.
        http_threads: Number of HTTP threads (default: Triton's own).
        grpc_threads: Number of gRPC threads, if this Triton supports setting it (default: Triton's own).
        model_control: `none` serves the models that exist at startup; `explicit` lets clients load and unload models.
        models: Names of the models to load at startup, in explicit mode, each with its `NAME_file` (default: all).
        cpu: Whether to use no GPU: models that were published for GPUs are served with a configuration for the CPU that
            is derived from theirs, and all GPUs are hidden from Triton.
        admin_key: Key that clients must send to load or unload models or to list the repository.
        allow_shared_memory: Whether clients may pass tensors in shared memory of this machine.
        tls: TLS files for gRPC (default: no encryption).
        response_cache_bytes: Size of the cache for repeated requests; 0 disables it.
        rate_limit: Whether to apply the rate limits in the configurations of the models.
        original_program: Whether to run Triton's program as installed, which cancelled requests can crash, instead of a
            copy with a fix.
        log: File to append the server's log to (default: a temporary file).
        log_format: `default`, or `iso8601` for complete timestamps.
        log_verbose: Log level; 0 logs events of models, 1 and above every request.
        start_timeout: Seconds until all models must be ready.
        drain_seconds: Seconds to answer requests in flight when the server is terminated.

    Raises:
        UsageError: If a value is out of range, or two options conflict.
    """

    host: str = "127.0.0.1"
    grpc_port: int = 0
    http: bool | None = None
    http_port: int = 0
    metrics: bool = True
    metrics_port: int = 0
    http_threads: int | None = None
    grpc_threads: int | None = None
    model_control: ModelControl = "none"
    models: tuple[str, ...] | None = None
    cpu: bool = False
    admin_key: str | None = field(default=None, repr=False)
    allow_shared_memory: bool = False
    tls: Tls | None = None
    response_cache_bytes: int = 0
    rate_limit: bool = False
    original_program: bool = False
    log: str | Path | None = None
    log_format: LogFormat = "default"
    log_verbose: int = 0
    start_timeout: float = 120.0
    drain_seconds: int = 30

    def __post_init__(self) -> None:
        _one_of("model_control", self.model_control, get_args(ModelControl))
        if self.log is not None:
            _check_log(Path(self.log).expanduser().absolute())
        _one_of("log_format", self.log_format, get_args(LogFormat))
        for name, lowest, highest in (
            ("http_threads", 1, 1024),
            ("grpc_threads", 1, 1024),
            ("response_cache_bytes", 0, 2**40),
            ("log_verbose", 0, 4),
            ("start_timeout", 0, 86400),
            ("drain_seconds", 0, 3600),
        ):
            _in_range(name, getattr(self, name), lowest, highest)
        if self.admin_key is not None:
            check_admin_key(self.admin_key)
        self._refuse_conflicts()

    @property
    def serves_http(self) -> bool:
        """Whether HTTP is enabled."""
        return self.tls is None if self.http is None else self.http

    @property
    def http_host(self) -> str:
        """Address that HTTP listens on: if gRPC is encrypted, the loopback address, since HTTP is not encrypted."""
        return self.host if self.tls is None else "127.0.0.1"

    @property
    def hosts(self) -> dict[str, str]:
        """Address that each enabled service listens on."""
        enabled = {"HTTP": self.serves_http, "gRPC": True, "metrics": self.metrics}
        hosts = {"HTTP": self.http_host, "gRPC": self.host, "metrics": self.host}
        return {service: hosts[service] for service in hosts if enabled[service]}

    @property
    def ports(self) -> dict[str, int]:
        """Requested port of each enabled service."""
        ports = {"HTTP": self.http_port, "gRPC": self.grpc_port, "metrics": self.metrics_port}
        return {service: ports[service] for service in self.hosts}

    def _refuse_conflicts(self) -> None:
        if self.http_port and not self.serves_http:
            reason = "; with TLS it is off by default, since HTTP is not encrypted" if self.http is None else ""
            raise UsageError(
                f"http_port is set, but HTTP is disabled{reason}", hint="Remove --http-port, or enable HTTP with --http"
            )
        if self.metrics_port and not self.metrics:
            raise UsageError(
                "metrics_port is set, but the metrics are disabled", hint="Remove --metrics-port or --no-metrics"
            )
        if self.http_threads is not None and not self.serves_http:
            raise UsageError("http_threads is set, but HTTP is disabled", hint="Remove --http-threads")
        if self.models is not None and self.model_control != "explicit":
            raise UsageError(
                "models can be selected only in explicit mode; otherwise the whole repository is served",
                hint="Add --model-control explicit",
            )
        if self.model_control == "explicit" and self.admin_key is None and not _LOOPBACK.fullmatch(self.host):
            raise UsageError(
                f"without an admin key, anyone who can reach {self.host} could load models, which can contain programs",
                hint=f"Set {ADMIN_KEY_VARIABLE} or --admin-key-file. {_CREATE_KEY}",
            )


def _check_log(log: Path) -> None:
    """Refuse what cannot be appended to and read again. Opening a pipe would wait for a reader.

    Raises:
        UsageError: If it is a folder, a pipe or a socket, or its folder is missing.
    """
    kind = "a folder" if log.is_dir() else "a named pipe" if log.is_fifo() else "a socket" if log.is_socket() else None
    if kind is not None:
        raise UsageError(f"the log {printable(log)} is {kind}", hint="Pass the path of a file: --log FILE")
    if not log.parent.is_dir():
        raise UsageError(
            f"the folder of the log {printable(log)} does not exist",
            hint=f"Create it: mkdir -p {shlex.quote(str(log.parent))}",
        )


def read_admin_key(file: Path | None, variable: str | None) -> str | None:
    """Return the admin key from a file or, without a file, from the value of the environment variable; None if empty.

    Raises:
        UsageError: If the file cannot be read or is not a text file.
    """
    if file is None:
        return variable or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"cannot read the admin key from {file}: {reason}", hint="Use a text file") from None


def check_admin_key(key: str) -> None:
    """Check that both Triton and an HTTP header can carry a key.

    Raises:
        UsageError: If it is too short or too long, or contains another character.
    """
    if not _KEY.fullmatch(key):
        raise UsageError(
            "invalid admin key: it must consist of 16 to 256 letters, digits or any of _ . ~ -", hint=_CREATE_KEY
        )


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"unknown {name} {value!r}", hint=f"Choose one of {', '.join(choices)}")


def _in_range(name: str, value: float | None, lowest: float, highest: float) -> None:
    if value is not None and not lowest <= value <= highest:
        raise UsageError(
            f"{name} must be from {lowest} to {highest}, got {value}", hint=f"Choose {name} within that range"
        )
