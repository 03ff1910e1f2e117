"""`camserve serve`: run the embedded Triton on a model repository."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import typer

from camserve.cli import serve_options as options
from camserve.cli.console import print_logged_warnings
from camserve.cli.help_layout import Command
from camserve.cli.serve_run import run_until_end
from camserve.cli.shared_options import Json, Repository, check_choice
from camserve.errors import UsageError

if TYPE_CHECKING:
    from camserve.serving.server.server_tls import Tls

__all__ = ["register"]

_EPILOG = """Example:  camserve serve --repository model_repository --grpc-port 9001

Example:  camserve serve --repository model_repository --cpu

Example:  camserve serve --repository model_repository --host 0.0.0.0 --tls-certificate server.pem --tls-key server.key
--model-control explicit --admin-key-file /run/secrets/admin-key
"""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(cls=Command, epilog=_EPILOG)(serve)


def serve(
    repository: Repository,
    host: options.Host = "127.0.0.1",
    grpc_port: options.GrpcPort = options.PORTS["grpc"],
    http: options.Http = None,
    http_port: options.HttpPort = None,
    metrics: options.Metrics = True,
    metrics_port: options.MetricsPort = None,
    model_control: options.ModelControl = "none",
    load: options.Load = None,
    load_none: options.LoadNone = False,
    cpu: options.Cpu = False,
    admin_key_file: options.AdminKeyFile = None,
    tls_certificate: options.TlsCertificate = None,
    tls_key: options.TlsKey = None,
    tls_client_ca: options.TlsClientCa = None,
    allow_shared_memory: options.AllowSharedMemory = False,
    http_threads: options.HttpThreads = None,
    grpc_threads: options.GrpcThreads = None,
    response_cache: options.ResponseCache = 0,
    rate_limit: options.RateLimit = False,
    start_timeout: options.StartTimeout = 120.0,
    drain: options.Drain = 30,
    restart: options.Restarts = True,
    original_program: options.OriginalProgram = False,
    log: options.Log = None,
    log_format: options.LogFormat = "default",
    log_verbose: options.LogVerbose = 0,
    as_json: Json = False,
) -> None:
    """Serve a model repository with the embedded Triton until it is interrupted.

    By default it listens on the loopback interface only. SIGINT and SIGTERM drain the server, which answers the
    requests in flight, and end it with exit code 0. If Triton dies, it is started again, at most 5 times in 10 minutes;
    after that, and with --no-restart, its exit code is returned.
    """
    from camserve.serving import TritonServer
    from camserve.serving.server.server_options import ADMIN_KEY_VARIABLE, LogFormat, ModelControl, read_admin_key

    print_logged_warnings("camserve.serving")
    check_choice(model_control, get_args(ModelControl), "--model-control")
    check_choice(log_format, get_args(LogFormat), "--log-format")
    if load and load_none:
        raise UsageError("--load conflicts with --load-none", hint="Remove one of the two")
    tls = _tls(tls_certificate, tls_key, tls_client_ca)
    serves_http = tls is None if http is None else http
    server = TritonServer(
        repository,
        host=host,
        grpc_port=grpc_port,
        http=http,
        http_port=(options.PORTS["http"] if serves_http else 0) if http_port is None else http_port,
        metrics=metrics,
        metrics_port=(options.PORTS["metrics"] if metrics else 0) if metrics_port is None else metrics_port,
        http_threads=http_threads,
        grpc_threads=grpc_threads,
        model_control=model_control,
        models=() if load_none else tuple(load) if load else None,
        cpu=cpu,
        admin_key=read_admin_key(admin_key_file, os.environ.get(ADMIN_KEY_VARIABLE)),
        allow_shared_memory=allow_shared_memory,
        tls=tls,
        response_cache_bytes=response_cache * 2**20,
        rate_limit=rate_limit,
        original_program=original_program,
        log=log,
        log_format=log_format,
        log_verbose=log_verbose,
        start_timeout=start_timeout,
        drain_seconds=drain,
    )
    run_until_end(server, restart=restart, as_json=as_json)


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> Tls | None:
    from camserve.serving.server.server_tls import Tls

    if certificate is None and key is None:
        if client_ca is not None:
            raise UsageError(
                "--tls-client-ca requires TLS",
                hint="Add --tls-certificate and --tls-key, or remove --tls-client-ca",
            )
        return None
    if certificate is None or key is None:
        missing, present = ("--tls-key", "--tls-certificate") if key is None else ("--tls-certificate", "--tls-key")
        raise UsageError(f"{present} requires {missing}", hint=f"Add {missing} FILE")
    return Tls(certificate=certificate, key=key, client_ca=client_ca)
