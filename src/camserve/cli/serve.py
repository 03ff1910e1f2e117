"""`camserve serve`: the embedded Triton over a repository, until it is told to end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import typer

from camserve.cli import serve_options as options
from camserve.cli.grouped import GroupedCommand
from camserve.cli.options import Json, Repository, check_choice
from camserve.cli.serve_run import run_until_end
from camserve.errors import UsageError

if TYPE_CHECKING:
    from camserve.serving.server.server_tls import Tls

__all__ = ["register"]

_EPILOG = """Example:  camserve serve --repository model_repository --grpc-port 9001

Example:  camserve serve --repository model_repository --host 0.0.0.0 --tls-certificate server.pem --tls-key server.key
--model-control explicit --admin-key-file /run/secrets/admin-key
"""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(cls=GroupedCommand, epilog=_EPILOG)(serve)


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
    log: options.Log = None,
    log_format: options.LogFormat = "default",
    log_verbose: options.LogVerbose = 0,
    as_json: Json = False,
) -> None:
    """Serve a repository with the embedded Triton. Runs until it is interrupted.

    It listens on the loopback alone unless told otherwise. SIGINT and SIGTERM end it in order, requests in flight
    answered, with exit code 0; where Triton ends by itself, its exit code is handed on.
    """
    from camserve.serving import TritonServer
    from camserve.serving.server.server_options import ADMIN_KEY_VARIABLE, LogFormat, ModelControl, read_admin_key

    check_choice(model_control, get_args(ModelControl), "--model-control")
    check_choice(log_format, get_args(LogFormat), "--log-format")
    if load and load_none:
        raise UsageError("--load and --load-none contradict each other", hint="Give one of the two")
    tls = _tls(tls_certificate, tls_key, tls_client_ca)
    http_served = tls is None if http is None else http
    server = TritonServer(
        repository,
        host=host,
        grpc_port=grpc_port,
        http=http,
        http_port=(options.PORTS["http"] if http_served else 0) if http_port is None else http_port,
        metrics=metrics,
        metrics_port=(options.PORTS["metrics"] if metrics else 0) if metrics_port is None else metrics_port,
        http_threads=http_threads,
        grpc_threads=grpc_threads,
        model_control=model_control,
        models=() if load_none else tuple(load) if load else None,
        admin_key=read_admin_key(admin_key_file, os.environ.get(ADMIN_KEY_VARIABLE)),
        allow_shared_memory=allow_shared_memory,
        tls=tls,
        response_cache_bytes=response_cache * 2**20,
        rate_limit=rate_limit,
        log=log,
        log_format=log_format,
        log_verbose=log_verbose,
        start_timeout=start_timeout,
        drain_seconds=drain,
    )
    run_until_end(server, as_json=as_json)


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> Tls | None:
    from camserve.serving.server.server_tls import Tls

    if certificate is None and key is None:
        if client_ca is not None:
            raise UsageError(
                "a client CA is of no use without TLS", hint="Add --tls-certificate and --tls-key, or leave it out"
            )
        return None
    if certificate is None or key is None:
        raise UsageError("TLS needs both a certificate and its key", hint="Give --tls-certificate and --tls-key")
    return Tls(certificate=certificate, key=key, client_ca=client_ca)
