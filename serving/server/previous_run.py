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
from camserve.serving.server.recorded_configs import read_recorded_configs, serving_only
from camserve.serving.server.server_options import ServerOptions

__all__ = ["PreviousRun", "Resumption", "remember"]

_log = logging.getLogger("camserve.serving")


@dataclass(frozen=True)
class Resumption:
    """How a server is started again.

    Attributes:
        options: The options.
        configs: The `ModelConfig` messages that take precedence over those of the repository, by model.
        missing: Why models or versions are missing, one sentence each.
    """

    options: ServerOptions
    configs: Mapping[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class PreviousRun:
    """What a server had when it ended; by default nothing.

    Attributes:
        ports: Port of each service.
        models: The versions that were loaded, by model; None if its log no longer contains that.
        configs: The `ModelConfig` message that each model was loaded with, by name, where it is known.
    """

    ports: Mapping[str, int] = field(default_factory=dict)
    models: Mapping[str, tuple[int, ...]] | None = field(default_factory=dict)
    configs: Mapping[str, Any] = field(default_factory=dict)

    def resume(self, options: ServerOptions, repository: Path) -> Resumption:
        """Return how to start the server with the same.

        Args:
            options: Its options. If it was not started in explicit mode, it serves the whole repository again.
            repository: Its repository.
        """
        ports: dict[str, Any] = {f"{service.lower()}_port": port for service, port in self.ports.items()}
        fixed = replace(options, **ports)
        if not self.ports or options.model_control != "explicit":
            return Resumption(fixed)
        if self.models is None:
            _log.warning(
                "the log of the server was rotated, so the models that it had loaded are unknown; "
                "starting it with those of its first start, with the versions that are published now"
            )
            return Resumption(fixed)
        present = tuple(name for name in self.models if (repository / name).is_dir())
        gone = [f"model {name}: the repository no longer contains it" for name in self.models.keys() - present]
        configs = {}
        for name in present:
            versions = _present(repository / name, self.models[name])
            gone += [
                f"model {name} version {number}: the repository no longer contains it"
                for number in self.models[name]
                if number not in versions
            ]
            if versions and name in self.configs:
                configs[name] = serving_only(self.configs[name], versions)
        return Resumption(replace(fixed, models=present), configs, tuple(sorted(gone)))

    def replaced(self, models: Mapping[str, tuple[int, ...]], repository: Path, url: str) -> tuple[str, ...]:
        """Return which models have other versions after the restart, one sentence each, with the command to undo it.

        Triton loaded the versions that `config.pbtxt` names now, since the configuration of before is not known, or
        none of the versions of before exists any more.

        Args:
            models: The versions that are loaded now, by model.
            repository: The repository.
            url: gRPC address of the server.
        """
        undo = "; undo that with: camserve repository rollback {} --to {} --repository {} --url {}"
        sentences = []
        for name, before in (self.models or {}).items():
            remaining = _present(repository / name, before)
            if models.get(name, before) not in (before, remaining):
                command = undo.format(shlex.quote(name), max(before), shlex.quote(str(repository)), url)
                sentences.append(
                    f"model {name} now has {_versions(models[name])} instead of {_versions(before)}, since its "
                    f"config.pbtxt was changed without loading it{command if max(before) in remaining else ''}"
                )
        return tuple(sentences)


def _present(model: Path, versions: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(number for number in versions if (model / str(number)).is_dir())


def _versions(numbers: tuple[int, ...]) -> str:
    return f"version{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def remember(run: Run) -> PreviousRun:
    """Return what a server that was ready had when it ended."""
    ports = {service: int(address.rpartition(":")[2]) for service, address in run.addresses.items()}
    if not run.log_is_complete:
        return PreviousRun(ports, None)
    models = read_loaded_models(run.log, start=run.log_start)
    return PreviousRun(ports, models, read_recorded_configs(run.loaded_configs, models))
