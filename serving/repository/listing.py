"""The models of a repository and their versions."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from camserve.errors import RepositoryError
from camserve.serving.config.image_files import file_model_of
from camserve.serving.config.message import CONFIG_NAME, read_config
from camserve.serving.config.pinning import chosen_versions
from camserve.serving.repository.export_facts import Parity, read_export_facts
from camserve.serving.repository.version_numbers import version_folders
from camserve.text import reason, suggest

__all__ = [
    "ModelEntry",
    "VersionEntry",
    "check_known_models",
    "list_models",
    "open_repository",
    "read_versions",
    "unknown_model",
]


@dataclass(frozen=True)
class VersionEntry:
    """One version of a published model.

    Attributes:
        number: The version number.
        size: Size of all its files, in bytes.
        precision: Precision from its report, such as `fp32`; None without a report.
        published: When its folder was written, in UTC.
        served: Whether the configuration of the model serves it.
        source: SHA-256 of the exported file, from its report.
        parity: The parity metric that came closest to its tolerance at export, from its report.
    """

    number: int
    size: int
    precision: str | None
    published: datetime
    served: bool
    source: str | None = None
    parity: Parity | None = None


@dataclass(frozen=True)
class ModelEntry:
    """One model of a repository.

    Attributes:
        name: Its name.
        path: Its folder.
        versions: Its versions, lowest first.
        image_files_of: The model for which it takes image files; None if it is not such a model.
    """

    name: str
    path: Path
    versions: tuple[VersionEntry, ...]
    image_files_of: str | None = None

    @property
    def served(self) -> tuple[int, ...]:
        """The versions that Triton serves, lowest first."""
        return tuple(version.number for version in self.versions if version.served)


def open_repository(repository: str | Path, *, create: bool = False) -> Path:
    """Return the folder of a repository as an absolute path without links.

    Args:
        repository: The folder.
        create: Create it, with its parents, if it does not exist.

    Raises:
        RepositoryError: If it is not a folder, does not exist, or cannot be created.
    """
    root = Path(repository).expanduser().resolve()
    if root.exists() and not root.is_dir():
        raise RepositoryError(f"the repository {root} is not a folder", hint="Use the path of a folder")
    if not root.exists() and not create:
        command = f"camserve publish BUNDLE_DIR --repository {shlex.quote(str(root))}"
        raise RepositoryError(
            f"the repository {root} does not exist", hint=f"Correct the path, or publish a model: {command}"
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RepositoryError(
            f"cannot create the repository {root}: {error.strerror}", hint="Choose a folder that you can write to"
        ) from None
    return root


def list_models(repository: str | Path) -> tuple[ModelEntry, ...]:
    """List the models of a repository by name, without folders that have no configuration.

    Raises:
        RepositoryError: If the repository or the configuration of a model cannot be read.
    """
    root = open_repository(repository)
    try:
        return tuple(_model(root / name) for name in _model_names(root))
    except OSError as error:
        raise RepositoryError(f"cannot read the repository {root}: {reason(error, root)}") from None


def check_known_models(root: Path, models: Iterable[str]) -> None:
    """Check that a repository contains models.

    Args:
        root: The repository's folder.
        models: Names of the models.

    Raises:
        RepositoryError: If it lacks one; the message lists the models that it has.
    """
    names = _model_names(root)
    for name in models:
        if name not in names:
            raise unknown_model(root, name, names)


def unknown_model(root: Path, name: str, names: Collection[str]) -> RepositoryError:
    """Return the error for a model that a repository does not contain.

    Args:
        root: The repository's folder.
        name: The requested name.
        names: Names of the models in the repository.
    """
    contents = f"has: {', '.join(names)}" if names else "has no models"
    return RepositoryError(
        f"unknown model {name!r}; the repository {root} {contents}",
        hint=suggest(name, names) or f"Run: camserve repository list --repository {shlex.quote(str(root))}",
    )


def _model_names(root: Path) -> list[str]:
    folders = (path for path in root.iterdir() if not path.name.startswith("."))
    return sorted(folder.name for folder in folders if (folder / CONFIG_NAME).is_file())


def _model(path: Path) -> ModelEntry:
    folders = version_folders(path)
    config = read_config(path / CONFIG_NAME)
    served = chosen_versions(config.version_policy, folders)
    return ModelEntry(path.name, path, tuple(read_versions(folders, served)), file_model_of(config))


def read_versions(folders: Mapping[int, Path], served: Collection[int]) -> Iterator[VersionEntry]:
    """Read the versions of a model.

    Args:
        folders: Their folders, by number.
        served: The versions that are served.

    Yields:
        Each version that was not pruned in the meantime.
    """
    for number, folder in folders.items():
        with suppress(FileNotFoundError):  # pruned in the meantime
            yield _version(number, folder, served=number in served)


def _version(number: int, folder: Path, *, served: bool) -> VersionEntry:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    published = datetime.fromtimestamp(folder.stat().st_mtime, tz=timezone.utc)
    facts = read_export_facts(folder)
    return VersionEntry(number, size, facts.precision, published, served, facts.source, facts.parity)
