"""A view of a repository in which models have other configurations than in the repository, for the start of a server.

Triton reads it through a link. As soon as the server is ready, the link leads to the repository itself, so that models
that are loaded later are those of the repository. No file of the repository gets other contents.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camserve.serving.config.message import CONFIG_NAME, render_config
from camserve.serving.config.pinning import chosen_versions
from camserve.serving.repository.version_numbers import version_folders

__all__ = ["RepositoryView", "create_view"]

_LINK, _FOLDER = "repository", "view"


@dataclass(frozen=True)
class RepositoryView:
    """A view of a repository.

    Attributes:
        link: The path at which Triton reads it.
        repository: The repository.
        models: The models that have another configuration in the view.
    """

    link: Path
    repository: Path
    models: tuple[str, ...]

    def end(self) -> None:
        """Make the link lead to the repository itself."""
        new = self.link.with_name(f"{_LINK}.new")
        new.symlink_to(self.repository)
        new.replace(self.link)

    def make_reloadable(self, *, but: Collection[str]) -> None:
        """After the end, let a request to load a model replace the configuration of the view by that of the repository.

        Triton does nothing if no file changed after the last load, and the files of the view are newer than those of
        the repository. It takes the time at which the attributes of a file changed into account, so these are set again
        as they are. If this user may not do that, a client must unload the model first.

        Args:
            but: Models that serve the published versions, so that such a request has nothing to do.
        """
        for name in set(self.models) - set(but):
            path = self.repository / name / CONFIG_NAME
            with suppress(OSError):
                status = path.stat()
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def with_real_paths(self, text: str) -> str:
        """Replace the paths of the view by those of the repository in a text."""
        return text.replace(str(self.link), str(self.repository))


def create_view(folder: Path, repository: Path, configs: Mapping[str, Any]) -> RepositoryView:
    """Create a view of a repository.

    Args:
        folder: The scratch folder, in which the view is created.
        repository: The repository.
        configs: The `ModelConfig` messages of the models that have another configuration in the view, by name.
    """
    root, view = folder / _FOLDER, RepositoryView(folder / _LINK, repository, tuple(configs))
    root.mkdir()
    for model in repository.iterdir():
        if model.name in configs:
            with suppress(OSError):  # Triton reports a model that cannot be read or was removed meanwhile
                _add_model(root / model.name, model, configs[model.name])
        elif model.is_dir() and not model.name.startswith("."):
            (root / model.name).symlink_to(model)
    view.link.symlink_to(root)
    return view


def _add_model(folder: Path, model: Path, config: Any) -> None:
    folder.mkdir()
    versions = version_folders(model)
    # Versions that are not served may be pruned at any time, and Triton refuses a model with a broken link.
    left_out = {str(number) for number in versions} - {
        str(number) for number in chosen_versions(config.version_policy, versions)
    }
    for path in model.iterdir():
        if path.name not in left_out and path.name != CONFIG_NAME and not path.name.startswith("."):
            (folder / path.name).symlink_to(path)
    (folder / CONFIG_NAME).write_text(render_config(config), encoding="utf-8")
