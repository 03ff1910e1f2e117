"""The options of `camserve serve`, by the heading under which its help shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from camserve.cli.options import one_of

__all__ = [
    "PORTS",
    "AdminKeyFile",
    "AllowSharedMemory",
    "Drain",
    "GrpcPort",
    "GrpcThreads",
    "Host",
    "Http",
    "HttpPort",
    "HttpThreads",
    "Load",
    "LoadNone",
    "Log",
    "LogFormat",
    "LogVerbose",
    "Metrics",
    "MetricsPort",
    "ModelControl",
    "RateLimit",
    "ResponseCache",
    "StartTimeout",
    "TlsCertificate",
    "TlsClientCa",
    "TlsKey",
]

PORTS = {"http": 8000, "grpc": 8001, "metrics": 8002}
"""The default ports."""

_NETWORK = "Network"
_MODELS = "Models"
_SECURITY = "Security"
_RUNTIME = "Runtime"

Host = Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.", rich_help_panel=_NETWORK)]
GrpcPort = Annotated[
    int,
    typer.Option(min=0, max=65535, metavar="PORT", help="Port of gRPC; 0 selects a free port.", rich_help_panel=_NETWORK),
]
Http = Annotated[
    bool | None,
    typer.Option(
        "--http/--no-http",
        help="Serve HTTP, which has no TLS. With TLS for gRPC it is off by default, and with --http listens on the "
        "loopback interface only.  [default: --http]",
        show_default=False,
        rich_help_panel=_NETWORK,
    ),
]
HttpPort = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        metavar="PORT",
        help=f"Port of HTTP; 0 selects a free port.  [default: {PORTS['http']}]",
        show_default=False,
        rich_help_panel=_NETWORK,
    ),
]
Metrics = Annotated[
    bool,
    typer.Option("--metrics/--no-metrics", help="Serve metrics for Prometheus, without TLS.", rich_help_panel=_NETWORK),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        metavar="PORT",
        help=f"Port of the metrics; 0 selects a free port.  [default: {PORTS['metrics']}]",
        show_default=False,
        rich_help_panel=_NETWORK,
    ),
]
ModelControl = Annotated[
    str,
    typer.Option(
        metavar="MODE",
        help="none: serve the models that are in the repository at the start. explicit: clients load and unload "
        "models, as 'camserve publish --url' does. Triton's third mode, poll, is not offered: it may read a version "
        "that is still being copied, and then never serves it.",
        autocompletion=one_of(("none", "explicit")),
        rich_help_panel=_MODELS,
    ),
]
Load = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Model to load at the start, in explicit mode; can be repeated.  [default: all]",
        show_default=False,
        rich_help_panel=_MODELS,
    ),
]
LoadNone = Annotated[
    bool, typer.Option("--load-none", help="Load no model at the start, in explicit mode.", rich_help_panel=_MODELS)
]
AdminKeyFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File with the admin key, which clients must send to load, unload and list models. Triton receives it as "
        "an argument, so users of this host can read it.  [default: $CAMSERVE_ADMIN_KEY]",
        show_default=False,
        rich_help_panel=_SECURITY,
    ),
]
TlsCertificate = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Certificate chain that encrypts gRPC (PEM).", show_default=False, rich_help_panel=_SECURITY),
]
TlsKey = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Private key of the certificate (PEM).", show_default=False, rich_help_panel=_SECURITY),
]
TlsClientCa = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Require client certificates signed by these authorities (PEM).",
        show_default=False,
        rich_help_panel=_SECURITY,
    ),
]
AllowSharedMemory = Annotated[
    bool,
    typer.Option(
        "--allow-shared-memory",
        help="Let clients on this host pass tensors in shared memory.",
        rich_help_panel=_SECURITY,
    ),
]
HttpThreads = Annotated[
    int | None,
    typer.Option(
        min=1, max=1024, metavar="N", help="Number of threads that handle HTTP.", show_default=False, rich_help_panel=_RUNTIME
    ),
]
GrpcThreads = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1024,
        metavar="N",
        help="Number of threads that handle gRPC, where this Triton has that option.",
        show_default=False,
        rich_help_panel=_RUNTIME,
    ),
]
ResponseCache = Annotated[
    int,
    typer.Option(
        min=0, max=2**20, metavar="MIB", help="Size of the response cache, for models published with response_cache=on.", rich_help_panel=_RUNTIME
    ),
]
RateLimit = Annotated[
    bool, typer.Option("--rate-limit", help="Enforce the rate limits of the models.", rich_help_panel=_RUNTIME)
]
StartTimeout = Annotated[
    float,
    typer.Option(
        min=0, max=86400, metavar="SECONDS", help="Time limit until all models are ready.", rich_help_panel=_RUNTIME
    ),
]
Drain = Annotated[
    int,
    typer.Option(
        min=0, max=3600, metavar="SECONDS", help="Time limit for requests in flight at the end.", rich_help_panel=_RUNTIME
    ),
]
Log = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Append the log of Triton to this file.", show_default=False, rich_help_panel=_RUNTIME
    ),
]
LogFormat = Annotated[
    str,
    typer.Option(
        metavar="FORMAT",
        help="Time stamps of the log: default, or iso8601.",
        autocompletion=one_of(("default", "iso8601")),
        rich_help_panel=_RUNTIME,
    ),
]
LogVerbose = Annotated[
    int, typer.Option(min=0, max=4, metavar="LEVEL", help="Verbosity of the log; from 1 on every request is logged.", rich_help_panel=_RUNTIME)
]
