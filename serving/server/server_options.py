"""How the embedded server is run: the choices that an operator has."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from camserve.errors import UsageError
from camserve.serving.server.server_tls import Tls

__all__ = ["ADMIN_KEY_VARIABLE", "LogFormat", "ModelControl", "ServerOptions", "check_admin_key", "read_admin_key"]

ModelControl = Literal["none", "explicit"]
LogFormat = Literal["default", "iso8601"]

ADMIN_KEY_VARIABLE = "CAMSERVE_ADMIN_KEY"
"""Environment variable that the admin key may stand in."""

_LOOPBACK = re.compile(r"127\.\d+\.\d+\.\d+|localhost")
# The characters that neither Triton's own reading of the option nor a header gives a meaning to.
_KEY = re.compile(r"[A-Za-z0-9_.~-]{16,256}", re.ASCII)
_MAKE_A_KEY = "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Options of the embedded server.

    Attributes:
        host: IPv4 address, or name of one, to listen on; the loopback unless told otherwise.
        grpc_port: Port of gRPC; 0 takes any free one.
        http: Whether HTTP is served. It has no TLS: unless told, it is served where gRPC has none either. With TLS it
            listens on the loopback alone.
        http_port: Port of HTTP; 0 takes any free one.
        metrics: Whether the Prometheus metrics are served; they have no TLS.
        metrics_port: Port of the metrics; 0 takes any free one.
        http_threads: Threads that read and write HTTP; None leaves it to Triton.
        grpc_threads: The same of gRPC, on a Triton that lets it be chosen.
        model_control: `none` serves what stands there at the start; `explicit` lets clients load and unload models.
        models: Names of the models to load at the start, in explicit mode; None loads all.
        admin_key: What a client must show to load or unload models, or to list the repository.
        allow_shared_memory: Let clients hand tensors over in this host's shared memory.
        tls: Files by which gRPC is encrypted.
        response_cache_bytes: Memory for answers to repeated requests; 0 is no cache.
        rate_limit: Honour the rate limits that models' configurations name.
        log: File that the server's log is appended to; a temporary one unless given.
        log_format: `default`, or `iso8601` for whole dates.
        log_verbose: 0 for what happens to models, 1 and more for every request.
        start_timeout: Seconds until every model must be ready.
        drain_seconds: Seconds that requests in flight are given when the server is asked to end.

    Raises:
        UsageError: If a value is out of range, or two contradict each other.
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
    admin_key: str | None = field(default=None, repr=False)
    allow_shared_memory: bool = False
    tls: Tls | None = None
    response_cache_bytes: int = 0
    rate_limit: bool = False
    log: str | Path | None = None
    log_format: LogFormat = "default"
    log_verbose: int = 0
    start_timeout: float = 120.0
    drain_seconds: int = 30

    def __post_init__(self) -> None:
        _one_of("model control", self.model_control, get_args(ModelControl))
        _one_of("log format", self.log_format, get_args(LogFormat))
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
        self._refuse_contradictions()

    @property
    def serves_http(self) -> bool:
        """Whether HTTP is served."""
        return self.tls is None if self.http is None else self.http

    @property
    def http_host(self) -> str:
        """Where HTTP listens; beside an encrypted gRPC on the loopback, since it is not encrypted."""
        return self.host if self.tls is None else "127.0.0.1"

    @property
    def hosts(self) -> dict[str, str]:
        """Where each service that is served listens."""
        wanted = {"HTTP": (self.serves_http, self.http_host), "gRPC": (True, self.host)}
        wanted["metrics"] = (self.metrics, self.host)
        return {service: host for service, (served, host) in wanted.items() if served}

    @property
    def ports(self) -> dict[str, int]:
        """The port that each service that is served wants."""
        ports = {"HTTP": self.http_port, "gRPC": self.grpc_port, "metrics": self.metrics_port}
        return {service: ports[service] for service in self.hosts}

    def _refuse_contradictions(self) -> None:
        if self.http_port and not self.serves_http:
            why = ": it has no TLS, so it is off where gRPC is encrypted" if self.http is None else ""
            raise UsageError(
                f"HTTP has a port and is not served{why}", hint="Leave the port out, or ask for HTTP with --http"
            )
        if self.metrics_port and not self.metrics:
            raise UsageError("the metrics have a port and are not served", hint="Leave one of the two out")
        if self.http_threads is not None and not self.serves_http:
            raise UsageError("HTTP is given threads and is not served", hint="Leave the threads out")
        if self.models is not None and self.model_control != "explicit":
            raise UsageError(
                "models can be chosen in explicit mode alone; without it everything in the repository is served",
                hint="Add --model-control explicit",
            )
        if self.model_control == "explicit" and self.admin_key is None and not _LOOPBACK.fullmatch(self.host):
            raise UsageError(
                f"anyone who reaches {self.host} could load models, and with them programs, into this server",
                hint=f"Set {ADMIN_KEY_VARIABLE} or give --admin-key-file. {_MAKE_A_KEY}",
            )


def read_admin_key(file: Path | None, variable: str | None) -> str | None:
    """The admin key: of the file where one is given, else of the environment variable's value, else none.

    Raises:
        UsageError: If the file cannot be read or holds no key.
    """
    if file is None:
        return variable or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"the admin key cannot be read from {file}: {reason}", hint="Give a text file") from error


def check_admin_key(key: str) -> None:
    """Makes sure that both Triton and a header can carry the key.

    Raises:
        UsageError: If it is too short, too long, or has a character that one of them gives a meaning to.
    """
    if not _KEY.fullmatch(key):
        raise UsageError(
            "the admin key must have 16 to 256 letters, digits or any of _ . ~ -, and has something else",
            hint=_MAKE_A_KEY,
        )


def _one_of(what: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"there is no {what} {value!r}", hint=f"Choose one of {', '.join(choices)}")


def _in_range(name: str, value: float | None, lowest: float, highest: float) -> None:
    if value is not None and not lowest <= value <= highest:
        raise UsageError(f"{name} must be from {lowest} to {highest} and is {value}")
