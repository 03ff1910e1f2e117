"""The models of a repository that a server changes so that it can serve them on the CPU."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from camserve.errors import RepositoryError
from camserve.serving.config.cpu import cpu_change, cpu_config
from camserve.serving.config.message import CONFIG_NAME, read_config

__all__ = ["cpu_changes", "cpu_configs"]


def cpu_configs(repository: Path) -> dict[str, Any]:
    """Return the `ModelConfig` messages for the CPU of the models that have others in the repository, by name.

    A model whose configuration cannot be read is left to Triton, which reports it.

    Raises:
        OSError: If the repository cannot be read.
    """
    found = {}
    for path in repository.glob(f"*/{CONFIG_NAME}"):
        with suppress(RepositoryError):
            config = cpu_config(read_config(path))
            if config is not None:
                found[path.parent.name] = config
    return found


def cpu_changes(repository: Path, models: Iterable[str]) -> dict[str, str]:
    """Return how each of these models that is not for the CPU alone is changed, by name."""
    changes = {}
    for name in models:
        with suppress(RepositoryError):
            published = read_config(repository / name / CONFIG_NAME)
            config = cpu_config(published)
            if config is not None:
                changes[name] = cpu_change(published, config)
    return changes
