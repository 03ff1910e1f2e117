"""What a server had when it ended, so that it can be started again with the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from camserve.serving.server.launch import Run
from camserve.serving.server.loaded_models import read_loaded_models
from camserve.serving.server.server_options import ServerOptions

__all__ = ["PreviousRun", "remember"]


@dataclass(frozen=True)
class PreviousRun:
    """What a server had when it ended; by default nothing.

    Attributes:
        ports: Port of each service.
        models: The versions that were loaded, by model.
    """

    ports: Mapping[str, int] = field(default_factory=dict)
    models: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def resume(self, options: ServerOptions, repository: Path) -> tuple[ServerOptions, tuple[str, ...]]:
        """Return the options that start the server with the same, and why models are missing, one sentence each.

        Args:
            options: Its options. If it was not started in explicit mode, it serves the whole repository again.
            repository: Its repository.
        """
        ports: dict[str, Any] = {f"{service.lower()}_port": port for service, port in self.ports.items()}
        fixed = replace(options, **ports)
        if not self.ports or options.model_control != "explicit":
            return fixed, ()
        present = tuple(name for name in self.models if (repository / name).is_dir())
        gone = tuple(f"model {name}: the repository no longer contains it" for name in self.models.keys() - present)
        return replace(fixed, models=present), tuple(sorted(gone))


def remember(run: Run) -> PreviousRun:
    """Return what a server that was ready had when it ended."""
    ports = {service: int(address.rpartition(":")[2]) for service, address in run.addresses.items()}
    return PreviousRun(ports, read_loaded_models(run.log, start=run.log_start))
