"""The options of `camserve serve`, under the headings that its help shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
"""Ports that are taken unless others are named."""

_LISTEN = "Where it listens"
_MODELS = "What it serves"
_TRUST = "Whom it trusts"
_WORK = "How it works"

Host = Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.", rich_help_panel=_LISTEN)]
GrpcPort = Annotated[
    int,
    typer.Option(min=0, max=65535, metavar="PORT", help="Port of gRPC; 0 takes a free one.", rich_help_panel=_LISTEN),
]
Http = Annotated[
    bool | None,
    typer.Option(
        "--http/--no-http",
        help="Serve HTTP. It has no TLS: beside an encrypted gRPC it is off unless asked for, and then listens on "
        "the loopback alone.",
        show_default=False,
        rich_help_panel=_LISTEN,
    ),
]
HttpPort = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        metavar="PORT",
        help=f"Port of HTTP; 0 takes a free one.  [default: {PORTS['http']}]",
        show_default=False,
        rich_help_panel=_LISTEN,
    ),
]
Metrics = Annotated[
    bool,
    typer.Option("--metrics/--no-metrics", help="Serve metrics to Prometheus, without TLS.", rich_help_panel=_LISTEN),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        metavar="PORT",
        help=f"Port of the metrics; 0 takes a free one.  [default: {PORTS['metrics']}]",
        show_default=False,
        rich_help_panel=_LISTEN,
    ),
]
ModelControl = Annotated[
    str,
    typer.Option(
        metavar="MODE",
        help="none: what stands there at the start is served until the end. explicit: clients load and unload "
        "models, as 'camserve publish --url' does. Triton's third mode, poll, is not offered: it may read a version "
        "that is still being copied, and then never serves it.",
        rich_help_panel=_MODELS,
    ),
]
Load = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Model to load at the start, in explicit mode; can be repeated. All unless given.",
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
        help="File with the key that clients must show to load, unload and list models; else the environment "
        "variable CAMSERVE_ADMIN_KEY. Triton takes it as an argument, so users of this host can see it.",
        show_default=False,
        rich_help_panel=_TRUST,
    ),
]
TlsCertificate = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="PEM chain that encrypts gRPC.", show_default=False, rich_help_panel=_TRUST),
]
TlsKey = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="PEM key of that certificate.", show_default=False, rich_help_panel=_TRUST),
]
TlsClientCa = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="PEM of the authority that clients' certificates must be of.",
        show_default=False,
        rich_help_panel=_TRUST,
    ),
]
AllowSharedMemory = Annotated[
    bool,
    typer.Option(
        "--allow-shared-memory",
        help="Let clients on this host hand tensors over in shared memory.",
        rich_help_panel=_TRUST,
    ),
]
HttpThreads = Annotated[
    int | None,
    typer.Option(
        min=1, max=1024, metavar="N", help="Threads that handle HTTP.", show_default=False, rich_help_panel=_WORK
    ),
]
GrpcThreads = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1024,
        metavar="N",
        help="Threads that handle gRPC, on a Triton that lets them be chosen.",
        show_default=False,
        rich_help_panel=_WORK,
    ),
]
ResponseCache = Annotated[
    int,
    typer.Option(
        min=0, max=2**20, metavar="MIB", help="Memory for answers of models that cache them.", rich_help_panel=_WORK
    ),
]
RateLimit = Annotated[
    bool, typer.Option("--rate-limit", help="Honour the rate limits of the models.", rich_help_panel=_WORK)
]
StartTimeout = Annotated[
    float,
    typer.Option(
        min=0, max=86400, metavar="SECONDS", help="How long the models may take to be ready.", rich_help_panel=_WORK
    ),
]
Drain = Annotated[
    int,
    typer.Option(
        min=0, max=3600, metavar="SECONDS", help="How long requests in flight get at the end.", rich_help_panel=_WORK
    ),
]
Log = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="File that Triton's log is appended to.", show_default=False, rich_help_panel=_WORK
    ),
]
LogFormat = Annotated[
    str, typer.Option(metavar="FORMAT", help="default, or iso8601 for whole dates.", rich_help_panel=_WORK)
]
LogVerbose = Annotated[
    int, typer.Option(min=0, max=4, metavar="LEVEL", help="1 and more log every request.", rich_help_panel=_WORK)
]
