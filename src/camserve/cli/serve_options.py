"""The options of `camserve serve`, by the heading under which its help shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from camserve.cli.shared_options import complete_model, one_of

__all__ = [
    "PORTS",
    "AdminKeyFile",
    "AllowSharedMemory",
    "Cpu",
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
    "OriginalProgram",
    "RateLimit",
    "ResponseCache",
    "Restarts",
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


def _option(*names: str, panel: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, **settings)


Host = Annotated[str, _option(panel=_NETWORK, metavar="ADDRESS", help="Address to listen on.")]
GrpcPort = Annotated[
    int,
    _option(panel=_NETWORK, min=0, max=65535, metavar="PORT", help="Port of gRPC; 0 selects a free port."),
]
Http = Annotated[
    bool | None,
    _option(
        "--http/--no-http",
        panel=_NETWORK,
        help="Serve HTTP, which has no TLS. With TLS for gRPC it is off by default, and with --http listens on the "
        "loopback interface only.  [default: --http]",
        show_default=False,
    ),
]
HttpPort = Annotated[
    int | None,
    _option(
        panel=_NETWORK,
        min=0,
        max=65535,
        metavar="PORT",
        help=f"Port of HTTP; 0 selects a free port.  [default: {PORTS['http']}]",
        show_default=False,
    ),
]
Metrics = Annotated[
    bool,
    _option(
        "--metrics/--no-metrics",
        panel=_NETWORK,
        help="Serve metrics for Prometheus, without TLS.  [default: --metrics]",
        show_default=False,
    ),
]
MetricsPort = Annotated[
    int | None,
    _option(
        panel=_NETWORK,
        min=0,
        max=65535,
        metavar="PORT",
        help=f"Port of the metrics; 0 selects a free port.  [default: {PORTS['metrics']}]",
        show_default=False,
    ),
]
ModelControl = Annotated[
    str,
    _option(
        panel=_MODELS,
        metavar="MODE",
        help="none: serve the models that are in the repository at the start. explicit: clients load and unload "
        "models, as 'camserve publish --url' does. Triton's third mode, poll, is not offered: it may read a version "
        "that is still being copied, and then never serves it.",
        autocompletion=one_of(("none", "explicit")),
    ),
]
Load = Annotated[
    list[str] | None,
    _option(
        panel=_MODELS,
        metavar="NAME",
        help="Model to load at the start, in explicit mode, with its NAME_file; can be repeated.  [default: all]",
        autocompletion=complete_model,
        show_default=False,
    ),
]
LoadNone = Annotated[bool, _option("--load-none", panel=_MODELS, help="Load no model at the start, in explicit mode.")]
Cpu = Annotated[
    bool,
    _option(
        "--cpu",
        panel=_MODELS,
        help="Serve models that were published for GPUs on the CPU, as on a laptop: without their accelerator and "
        "batch_sizes, with one instance on all cores. The repository is not changed.",
    ),
]
AdminKeyFile = Annotated[
    Path | None,
    _option(
        panel=_SECURITY,
        metavar="FILE",
        help="File with the admin key, which clients must send to load, unload and list models. Triton receives it as "
        "an argument, so users of this host can read it.  [default: $CAMSERVE_ADMIN_KEY]",
        show_default=False,
    ),
]
TlsCertificate = Annotated[
    Path | None,
    _option(panel=_SECURITY, metavar="FILE", help="Certificate chain that encrypts gRPC (PEM).", show_default=False),
]
TlsKey = Annotated[
    Path | None,
    _option(panel=_SECURITY, metavar="FILE", help="Private key of the certificate (PEM).", show_default=False),
]
TlsClientCa = Annotated[
    Path | None,
    _option(
        panel=_SECURITY,
        metavar="FILE",
        help="Require client certificates signed by these authorities (PEM).",
        show_default=False,
    ),
]
AllowSharedMemory = Annotated[
    bool,
    _option("--allow-shared-memory", panel=_SECURITY, help="Let clients on this host pass tensors in shared memory."),
]
HttpThreads = Annotated[
    int | None,
    _option(
        panel=_RUNTIME, min=1, max=1024, metavar="N", help="Number of threads that handle HTTP.", show_default=False
    ),
]
GrpcThreads = Annotated[
    int | None,
    _option(
        panel=_RUNTIME,
        min=1,
        max=1024,
        metavar="N",
        help="Number of threads that handle gRPC, where this Triton has that option.",
        show_default=False,
    ),
]
ResponseCache = Annotated[
    int,
    _option(
        panel=_RUNTIME,
        min=0,
        max=2**20,
        metavar="MIB",
        help="Size of the response cache, for models published with response_cache=on.",
    ),
]
RateLimit = Annotated[bool, _option("--rate-limit", panel=_RUNTIME, help="Enforce the rate limits of the models.")]
StartTimeout = Annotated[
    float,
    _option(panel=_RUNTIME, min=0, max=86400, metavar="SECONDS", help="Time limit until all models are ready."),
]
Restarts = Annotated[
    bool,
    _option(
        "--restart/--no-restart",
        panel=_RUNTIME,
        help="Start Triton again if it ends by a signal or with an error, at most 5 times in 10 minutes. Turn this off "
        "where another supervisor does that, such as systemd or Kubernetes.  [default: --restart]",
        show_default=False,
    ),
]
OriginalProgram = Annotated[
    bool,
    _option(
        "--original-program",
        panel=_RUNTIME,
        help="Run Triton's program as it is installed. By default a copy runs in which 92 bytes are replaced, because "
        "cancelled requests can crash the original.",
    ),
]
Drain = Annotated[
    int,
    _option(panel=_RUNTIME, min=0, max=3600, metavar="SECONDS", help="Time limit for requests in flight at the end."),
]
Log = Annotated[
    Path | None,
    _option(panel=_RUNTIME, metavar="FILE", help="Append the log of Triton to this file.", show_default=False),
]
LogFormat = Annotated[
    str,
    _option(
        panel=_RUNTIME,
        metavar="FORMAT",
        help="Time stamps of the log: default, or iso8601.",
        autocompletion=one_of(("default", "iso8601")),
    ),
]
LogVerbose = Annotated[
    int,
    _option(
        panel=_RUNTIME, min=0, max=4, metavar="LEVEL", help="Verbosity of the log; from 1 on every request is logged."
    ),
]
