"""The command line of tritonserver."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from camserve.errors import ServerError
from camserve.serving.live.connection import ADMIN_HEADER, CPU_SERVER
from camserve.serving.server.environment import TritonInstallation
from camserve.serving.server.server_options import ServerOptions

__all__ = ["server_command"]

_SERVICES = ("HTTP", "gRPC", "metrics")
_SHARED_MEMORY = "shared-memory"
_SHARED_MEMORY_FLAG = "allow-client-shm"
_GRPC_THREADS_FLAG = "grpc-infer-thread-count"
# With these a client could change the log level, or write the tensors of other clients to a file.
_DIAGNOSTICS = ("logging", "trace")


def server_command(
    installation: TritonInstallation,
    repository: Path,
    backends: Path,
    *,
    options: ServerOptions,
    ports: Mapping[str, tuple[str, int]],
    shared_memory_prefix: str,
    exit_on_error: bool = True,
) -> list[str]:
    """Build the command line of tritonserver.

    By default Triton listens on every address, completes configurations by guessing, and allows every client to
    register shared memory and change the log. The command line turns all of this off.

    Args:
        installation: The Triton installation.
        repository: The model repository.
        backends: The backend directory.
        options: The server's options.
        ports: Address and port of each enabled service.
        shared_memory_prefix: Prefix of the names of the Python backend's shared memory.
        exit_on_error: Whether a model that does not load ends the server.

    Raises:
        ServerError: If this Triton does not support an option.
    """
    return [
        str(installation.program),
        f"--model-repository={repository}",
        f"--backend-directory={backends}",
        f"--backend-config=python,shm-region-prefix-name={shared_memory_prefix}",
        "--disable-auto-complete-config",
        f"--exit-on-error={str(exit_on_error).lower()}",
        # Strict readiness counts a replaced version as missing. Triton opens its ports only after loading all models.
        "--strict-readiness=false",
        "--allow-sagemaker=false",
        "--allow-vertex-ai=false",
        f"--exit-timeout-secs={options.drain_seconds}",
        *_models(options),
        *([f"--id={CPU_SERVER}"] if options.cpu else []),
        *(flag for service in _SERVICES for flag in _service(service, ports.get(service))),
        *_threads(installation, options),
        *_tls(options),
        *_restrictions(installation, options),
        *_log(options),
        *_metrics(options),
        *_cache(installation, options),
        *(["--rate-limit=execution_count"] if options.rate_limit else []),
    ]


def _models(options: ServerOptions) -> list[str]:
    names = ["*"] if options.models is None else options.models
    loaded = [f"--load-model={name}" for name in names] if options.model_control == "explicit" else []
    return [f"--model-control-mode={options.model_control}", *loaded]


def _service(service: str, address: tuple[str, int] | None) -> list[str]:
    name = service.lower()
    if address is None:
        return [f"--allow-{name}=false"]
    return [f"--allow-{name}=true", f"--{name}-address={address[0]}", f"--{name}-port={address[1]}"]


def _threads(installation: TritonInstallation, options: ServerOptions) -> list[str]:
    flags = [] if options.http_threads is None else [f"--http-thread-count={options.http_threads}"]
    if options.grpc_threads is not None:
        if not installation.supports(_GRPC_THREADS_FLAG):
            raise ServerError(
                "this Triton does not support setting the number of gRPC threads",
                hint="Remove --grpc-threads, or serve the repository with NVIDIA's Triton container",
            )
        flags.append(f"--{_GRPC_THREADS_FLAG}={options.grpc_threads}")
    return flags


def _tls(options: ServerOptions) -> list[str]:
    tls = options.tls
    if tls is None:
        return []
    flags = ["--grpc-use-ssl=true", f"--grpc-server-cert={tls.certificate}", f"--grpc-server-key={tls.key}"]
    if tls.client_ca is not None:
        flags += ["--grpc-use-ssl-mutual=true", f"--grpc-root-cert={tls.client_ca}"]
    return flags


def _restrictions(installation: TritonInstallation, options: ServerOptions) -> list[str]:
    disabled = [] if options.admin_key else list(_DIAGNOSTICS)
    admin = ["model-repository", *_DIAGNOSTICS] if options.admin_key else []
    flags = []
    if installation.supports(_SHARED_MEMORY_FLAG):
        flags.append(f"--{_SHARED_MEMORY_FLAG}={str(options.allow_shared_memory).lower()}")
    elif not options.allow_shared_memory:
        disabled.append(_SHARED_MEMORY)
    for names, key in ((admin, options.admin_key), (disabled, secrets.token_urlsafe(32))):
        flags += _restricted(names, f"{ADMIN_HEADER}={key}", options)
    return flags


def _restricted(names: list[str], header: str, options: ServerOptions) -> list[str]:
    if not names:
        return []
    value = f"{','.join(names)}:{header}"
    http = [f"--http-restricted-api={value}"] if options.serves_http else []
    return [f"--grpc-restricted-protocol={value}", *http]


def _log(options: ServerOptions) -> list[str]:
    verbose = [f"--log-verbose={options.log_verbose}"] if options.log_verbose else []
    return [*verbose, *(["--log-format=ISO8601"] if options.log_format == "iso8601" else [])]


def _metrics(options: ServerOptions) -> list[str]:
    summaries = ["summary_latencies=true", "summary_quantiles=0.5:0.05,0.9:0.01,0.99:0.001"]
    return [f"--metrics-config={summary}" for summary in summaries] if options.metrics else []


def _cache(installation: TritonInstallation, options: ServerOptions) -> list[str]:
    if not options.response_cache_bytes:
        return []
    return [f"--cache-directory={installation.caches}", f"--cache-config=local,size={options.response_cache_bytes}"]
