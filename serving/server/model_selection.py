"""The models of a repository that a server loads at startup."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from camserve.errors import RepositoryError
from camserve.serving.repository.listing import list_models, unknown_model
from camserve.serving.server.host_checks import check_readable
from camserve.serving.server.server_options import ServerOptions

__all__ = ["check_models", "selected_versions", "with_file_models"]


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


def with_file_models(repository: Path, options: ServerOptions) -> ServerOptions:
    """Add to the selected models those that take image files for them, since both are published as one."""
    if options.models is None:
        return options
    selected = set(options.models)
    added = [each.name for each in list_models(repository) if each.image_files_of in selected and each.versions]
    return replace(options, models=tuple(dict.fromkeys((*options.models, *added))))


def selected_versions(repository: Path, options: ServerOptions) -> dict[str, tuple[int, ...]]:
    """Return the versions that are served at startup according to the repository, lowest first, by model."""
    models = [model for model in list_models(repository) if options.models is None or model.name in options.models]
    return {model.name: model.served for model in models if model.served}
