"""The models of a repository that a server loads at startup."""

from __future__ import annotations

import shlex
from pathlib import Path

from camserve.errors import RepositoryError
from camserve.serving.repository.listing import list_models, unknown_model
from camserve.serving.server.host_checks import check_readable
from camserve.serving.server.server_options import ServerOptions

__all__ = ["check_models", "selected_versions"]


def check_models(repository: Path, options: ServerOptions) -> None:
    """Check that a repository contains the selected models.

    Raises:
        RepositoryError: If the repository cannot be read, contains no model, or lacks a selected one.
    """
    check_readable(repository, options.models)
    names = [model.name for model in list_models(repository) if model.versions]
    if options.model_control == "none" and not names:
        raise RepositoryError(
            f"the repository {repository} contains no models",
            hint=f"Publish one with: camserve publish BUNDLE_DIR --repository {shlex.quote(str(repository))}",
        )
    missing = sorted(set(options.models or ()) - set(names))
    if missing:
        raise unknown_model(repository, missing[0], names)


def selected_versions(repository: Path, options: ServerOptions) -> dict[str, tuple[int, ...]]:
    """Return the versions that are served at startup according to the repository, lowest first, by model."""
    models = [model for model in list_models(repository) if options.models is None or model.name in options.models]
    return {model.name: model.served for model in models if model.served}
