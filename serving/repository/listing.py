"""What stands in a model repository."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from camserve.errors import RepositoryError
from camserve.serving.config.message import CONFIG_NAME, read_config
from camserve.serving.config.pinning import chosen_versions
from camserve.serving.repository.export_facts import Parity, read_facts
from camserve.serving.repository.version_numbers import version_folders

__all__ = ["ModelEntry", "VersionEntry", "list_models", "open_repository"]


@dataclass(frozen=True)
class VersionEntry:
    """One version of a published model.

    Attributes:
        number: The version.
        size: Bytes of all its files.
        precision: As its report says, such as `fp32`; None where there is no report.
        published: When its folder was written, in UTC.
        served: Whether the model's configuration has it served.
        source: SHA-256 of what it was exported from, as its report says.
        parity: The figure of its export that came closest to its bound, as its report says.
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
    """One model of a repository and its versions, lowest first."""

    name: str
    path: Path
    versions: tuple[VersionEntry, ...]

    @property
    def served(self) -> tuple[int, ...]:
        """The versions that Triton serves, lowest first."""
        return tuple(version.number for version in self.versions if version.served)


def open_repository(repository: str | Path, *, create: bool = False) -> Path:
    """The repository's folder, absolute and with links resolved.

    Args:
        repository: The folder.
        create: Make it, and the folders above it, where it does not exist.

    Raises:
        RepositoryError: If it is no folder or cannot be made.
    """
    root = Path(repository).expanduser().resolve()
    if root.exists() and not root.is_dir():
        raise RepositoryError(f"the repository {root} is not a folder", hint="Give a folder")
    if not root.exists() and not create:
        raise RepositoryError(
            f"there is no repository {root}", hint="Publish a model into it first, or correct the path"
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RepositoryError(f"the repository {root} cannot be made: {error.strerror}") from error
    return root


def list_models(repository: str | Path) -> tuple[ModelEntry, ...]:
    """The models of a repository by name; folders without a configuration are none.

    Raises:
        RepositoryError: If the repository or a model's configuration cannot be read.
    """
    root = open_repository(repository)
    try:
        folders = sorted(path for path in root.iterdir() if (path / CONFIG_NAME).is_file())
        return tuple(_model(path) for path in folders if not path.name.startswith("."))
    except OSError as error:
        raise RepositoryError(f"the repository {root} cannot be read: {error}") from error


def _model(path: Path) -> ModelEntry:
    folders = version_folders(path)
    served = chosen_versions(read_config(path / CONFIG_NAME).version_policy, folders)
    return ModelEntry(path.name, path, tuple(_versions(folders, served)))


def _versions(folders: Mapping[int, Path], served: Collection[int]) -> Iterator[VersionEntry]:
    for number, folder in folders.items():
        with suppress(FileNotFoundError):  # it was pruned meanwhile
            yield _version(number, folder, served=number in served)


def _version(number: int, folder: Path, *, served: bool) -> VersionEntry:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    published = datetime.fromtimestamp(folder.stat().st_mtime, tz=timezone.utc)
    facts = read_facts(folder)
    return VersionEntry(number, size, facts.precision, published, served, facts.source, facts.parity)
