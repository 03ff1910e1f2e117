"""What writers that were killed left behind, and its removal by the next one, who holds the lock."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import suppress
from pathlib import Path

from camserve.errors import CamserveError
from camserve.manifest import MANIFEST_NAME, file_digest
from camserve.serving.config.message import CONFIG_NAME, read_config
from camserve.serving.repository.allocation import read_numbers
from camserve.serving.repository.durable import rename
from camserve.serving.repository.ledger import read_leaving, read_ledger

__all__ = ["abandoned_versions", "take_out_abandoned"]


def abandoned_versions(root: Path) -> Iterator[Path]:
    """Folders of versions that were renamed in and never became part of their model, or ceased to.

    Each bears a number and a manifest that were noted for it beforehand, so it is nobody's copy by hand.
    """
    for name, handed in read_numbers(root).items():
        belonging, leaving = _listed(root / name)
        for number, digest in {**leaving, handed.number: handed.manifest}.items():
            manifest = root / name / str(number) / MANIFEST_NAME
            if number not in belonging and manifest.is_file() and file_digest(manifest) == digest:
                yield manifest.parent


def take_out_abandoned(root: Path, stage: Path) -> None:
    """Renames them out of the repository, to be removed with the stage."""
    for folder in abandoned_versions(root):
        rename(folder, stage / f"{folder.parent.name}-{folder.name}")
        with suppress(OSError):  # it has other versions
            folder.parent.rmdir()


def _listed(model: Path) -> tuple[Container[int], dict[int, str]]:
    """The versions that belong to a model, and those that ceased to."""
    if not (model / CONFIG_NAME).exists():
        return (), {}
    try:
        config = read_config(model / CONFIG_NAME)
        return read_ledger(config, model), read_leaving(config, model)
    except CamserveError:
        return range(1, 10**18), {}  # of a model that cannot be read nothing is removed
