"""The error for a model that a repository does not contain."""

from __future__ import annotations

import shlex
from pathlib import Path

from camserve.errors import RepositoryError
from camserve.serving.repository.listing import list_models
from camserve.text import suggest

__all__ = ["unknown_model"]


def unknown_model(root: Path, name: str) -> RepositoryError:
    """Return the error for a model that the repository does not contain, with the models that it does.

    Args:
        root: The repository's folder.
        name: Name of the model that was requested.
    """
    known = [entry.name for entry in list_models(root)]
    return RepositoryError(
        f"unknown model {name!r}; the repository {root} has: {', '.join(known) or 'no models'}",
        hint=suggest(name, known) or f"Run: camserve repository list --repository {shlex.quote(str(root))}",
    )
