"""The models of a repository that a server loads at startup."""

from __future__ import annotations

import shlex
from pathlib import Path

from camserve.errors import RepositoryError
from camserve.serving.repository.listing import list_models
from camserve.serving.server.server_options import ServerOptions
from camserve.text import suggest

__all__ = ["check_models", "selected_versions"]


def check_models(repository: Path, options: ServerOptions) -> None:
    """Check that a repository contains the selected models.

    Raises:
        RepositoryError: If the repository cannot be read, contains no model, or lacks a selected one.
    """
    path = shlex.quote(str(repository))
    names = [model.name for model in list_models(repository) if model.versions]
    if options.model_control == "none" and not names:
        raise RepositoryError(
            f"the repository {repository} contains no models",
            hint=f"Publish one with: camserve publish BUNDLE_DIR --repository {path}",
        )
    missing = sorted(set(options.models or ()) - set(names))
    if missing:
        raise RepositoryError(
            f"unknown model {missing[0]!r}; the repository {repository} has: {', '.join(names) or 'no models'}",
            hint=suggest(missing[0], names) or f"Run: camserve repository list --repository {path}",
        )


def selected_versions(repository: Path, options: ServerOptions) -> dict[str, tuple[int, ...]]:
    """Return the versions that are served at startup according to the repository, lowest first, by model."""
    models = [model for model in list_models(repository) if options.models is None or model.name in options.models]
    return {model.name: model.served for model in models if model.served}
