"""What a server had when it ended, so that it can be started again with the same."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from camserve.serving.server.launch import Run
from camserve.serving.server.loaded_models import read_loaded_models
from camserve.serving.server.server_options import ServerOptions

__all__ = ["PreviousRun", "remember"]

_log = logging.getLogger("camserve.serving")


@dataclass(frozen=True)
class PreviousRun:
    """What a server had when it ended; by default nothing.

    Attributes:
        ports: Port of each service.
        models: The versions that were loaded, by model; None if its log no longer contains that.
    """

    ports: Mapping[str, int] = field(default_factory=dict)
    models: Mapping[str, tuple[int, ...]] | None = field(default_factory=dict)

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
        if self.models is None:
            _log.warning(
                "the log of the server was rotated, so the models that it had loaded are unknown; "
                "starting it with those of its first start"
            )
            return fixed, ()
        present = tuple(name for name in self.models if (repository / name).is_dir())
        gone = tuple(f"model {name}: the repository no longer contains it" for name in self.models.keys() - present)
        return replace(fixed, models=present), tuple(sorted(gone))

    def replaced(self, models: Mapping[str, tuple[int, ...]], repository: Path, url: str) -> tuple[str, ...]:
        """Return which models have other versions after the restart, one sentence each, with the command to undo it.

        Triton loads the versions that `config.pbtxt` names now. They are others if one was published without a load.

        Args:
            models: The versions that are loaded now, by model.
            repository: The repository.
            url: gRPC address of the server.
        """
        undo = "camserve repository rollback {} --to {} --repository {} --url {}"
        return tuple(
            f"model {name} now has {_versions(models[name])} instead of {_versions(before)}, since its config.pbtxt "
            "was changed without loading it; undo that with: "
            + undo.format(shlex.quote(name), max(before), shlex.quote(str(repository)), url)
            for name, before in (self.models or {}).items()
            if models.get(name, before) != before
        )


def _versions(numbers: tuple[int, ...]) -> str:
    return f"version{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def remember(run: Run) -> PreviousRun:
    """Return what a server that was ready had when it ended."""
    ports = {service: int(address.rpartition(":")[2]) for service, address in run.addresses.items()}
    return PreviousRun(ports, read_loaded_models(run.log, start=run.log_start) if run.log_is_complete else None)
