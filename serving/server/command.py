"""The command line of the server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from camserve.serving.server.environment import TritonInstallation

__all__ = ["DRAIN_SECONDS", "SERVICES", "ModelControl", "server_command"]

ModelControl = Literal["none", "explicit"]

SERVICES = ("HTTP", "gRPC", "metrics")
DRAIN_SECONDS = 30
"""How long the server waits for requests in flight when it is asked to end."""


def server_command(
    installation: TritonInstallation,
    repository: Path,
    backends: Path,
    *,
    host: str,
    ports: Mapping[str, int],
    model_control: ModelControl,
    shared_memory_prefix: str,
) -> list[str]:
    """The command line of the server.

    Triton listens on every address, and guesses what a configuration leaves out, unless it is told not to.
    """
    return [
        str(installation.program),
        f"--model-repository={repository}",
        f"--backend-directory={backends}",
        f"--backend-config=python,shm-region-prefix-name={shared_memory_prefix}",
        f"--model-control-mode={model_control}",
        *(["--load-model=*"] if model_control == "explicit" else []),
        "--disable-auto-complete-config",
        "--exit-on-error=true",
        f"--exit-timeout-secs={DRAIN_SECONDS}",
        *(f"--{service.lower()}-address={host}" for service in SERVICES),
        *(f"--{service.lower()}-port={ports[service]}" for service in SERVICES),
    ]
