"""What of a repository a server is to serve."""

from __future__ import annotations

from pathlib import Path

from camserve.errors import RepositoryError
from camserve.serving.repository.listing import list_models
from camserve.serving.server.server_options import ServerOptions

__all__ = ["check_models", "chosen_models"]


def check_models(repository: Path, options: ServerOptions) -> None:
    """Refuses a repository that lacks what is to be served.

    Raises:
        RepositoryError: If it cannot be read, holds no model, or none of a name that is to be loaded.
    """
    names = [model.name for model in list_models(repository) if model.versions]
    if options.model_control == "none" and not names:
        raise RepositoryError(
            f"the repository {repository} holds no model",
            hint=f"Publish one with: camserve publish BUNDLE_DIR --repository {repository}",
        )
    missing = sorted(set(options.models or ()) - set(names))
    if missing:
        raise RepositoryError(
            f"the repository {repository} holds no model {', '.join(missing)}",
            hint=f"It holds {', '.join(names) or 'none'}",
        )


def chosen_models(repository: Path, options: ServerOptions) -> dict[str, tuple[int, ...]]:
    """The versions that are served from the start, lowest first, by model, as the repository says."""
    models = [model for model in list_models(repository) if options.models is None or model.name in options.models]
    return {model.name: model.served for model in models if model.served}
