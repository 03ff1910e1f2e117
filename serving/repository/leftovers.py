"""Versions that killed publishers left behind, and their removal by the next publisher, under the lock."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from camserve.errors import CamserveError
from camserve.manifest import MANIFEST_NAME, file_digest
from camserve.serving.config.message import CONFIG_NAME, read_config
from camserve.serving.repository.allocation import Allocated, read_numbers
from camserve.serving.repository.durable import rename
from camserve.serving.repository.ledger import PublishedModel, read_leaving, read_ledger

__all__ = ["abandoned_versions", "move_out_abandoned"]


def abandoned_versions(model: Path, allocated: Allocated, published: PublishedModel | None = None) -> Iterator[Path]:
    """Find the version folders of a model that never became part of it, or left it.

    Each has a number and a manifest that were recorded for it in advance, so it is not a copy made by hand.

    Args:
        model: The model's folder.
        allocated: The highest version number that was allocated for the model.
        published: The model, if it was read before.
    """
    members, leaving = _versions(model) if published is None else (published.ledger, published.leaving)
    for number, digest in {**leaving, allocated.number: allocated.manifest}.items():
        manifest = model / str(number) / MANIFEST_NAME
        if number not in members and manifest.is_file() and file_digest(manifest) == digest:
            yield manifest.parent


def move_out_abandoned(root: Path, stage: Path, published: Mapping[str, PublishedModel | None]) -> None:
    """Move abandoned versions out of the repository; they are deleted together with the staging area.

    Args:
        root: The repository's folder; the caller holds its lock.
        stage: The staging area.
        published: Models that were read before, by name.
    """
    for name, allocated in read_numbers(root).items():
        for folder in list(abandoned_versions(root / name, allocated, published.get(name))):
            rename(folder, stage / f"{folder.parent.name}-{folder.name}")
            with suppress(OSError):  # it contains other versions
                folder.parent.rmdir()


def _versions(model: Path) -> tuple[Container[int], dict[int, str]]:
    """Return the versions that belong to a model, and those that left it."""
    path = model / CONFIG_NAME
    if not path.exists():
        return (), {}
    try:
        config = read_config(path)
        return read_ledger(config, path), read_leaving(config, path)
    except CamserveError:
        return range(1, 10**18), {}  # never remove anything of a model that cannot be read
