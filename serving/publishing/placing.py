"""Renames a finished version into its model, so that at every moment the old model stands, or the new one.

1. The number is noted as used. 2. The version is renamed in; the configuration does not name it, so no Triton that
loads now takes it. 3. `config.pbtxt` is replaced, in one step: from now on the new version is the model. A new model
comes with one rename, configuration and all. Whoever is killed between two steps leaves at most a version that nobody
serves, which the next publisher knows by its number and its manifest and removes.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from camserve.atomic import sync
from camserve.serving.config.message import CONFIG_NAME
from camserve.serving.publishing.draft import Draft
from camserve.serving.publishing.plan import plan_config
from camserve.serving.repository.allocation import Allocated, allocate_version, read_numbers
from camserve.serving.repository.durable import rename, sync_tree, write_text
from camserve.serving.repository.ledger import PublishedModel, config_text
from camserve.serving.repository.version_numbers import claimed_numbers

__all__ = ["Placed", "place"]


@dataclass(frozen=True, eq=False)
class Placed:
    """A version that stands in its model.

    Attributes:
        number: Its number.
        manifest: SHA-256 of its manifest.
        served: Whether the configuration names it.
        undo: Closing it puts back what stood before.
    """

    number: int
    manifest: str
    served: bool
    undo: ExitStack


def place(
    root: Path, stage: Path, version: Path, manifest: str, draft: Draft, *, standing: PublishedModel | None
) -> Placed:
    """Renames a version into its model.

    Args:
        root: The repository's folder; its lock is held.
        stage: Folder from which a rename into the model succeeds.
        version: The finished version, in that folder.
        manifest: SHA-256 of its manifest.
        draft: What it is.
        standing: The model so far; None for a new one.

    Raises:
        RepositoryError: If the version policy does not allow it.
    """
    number = _next_number(root, draft.model, standing)
    config = plan_config(draft, standing, number, manifest)
    text = config_text(config, "" if standing is None else standing.text)
    allocate_version(root, stage, draft.model.name, Allocated(number, manifest))
    with ExitStack() as undo:
        into_model = _add if draft.model.exists() else _found
        into_model(stage, version, draft.model / str(number), text, undo)
        return Placed(number, manifest, number in config.version_policy.specific.versions, undo.pop_all())


def _next_number(root: Path, model: Path, standing: PublishedModel | None) -> int:
    handed = read_numbers(root).get(model.name)
    numbers = {0, handed.number if handed else 0, *(standing.ledger if standing else ())}
    return max(numbers | (claimed_numbers(model) if model.exists() else set())) + 1


def _add(stage: Path, version: Path, placed: Path, text: str, undo: ExitStack) -> None:
    fresh, stands, kept = stage / CONFIG_NAME, placed.parent / CONFIG_NAME, stage / f"{CONFIG_NAME}.before"
    write_text(fresh, text)
    if stands.exists():
        # Copied beforehand, so that putting it back is a rename, which needs no room on the disk.
        shutil.copy2(stands, kept)
        sync(kept)
        # A server of another user reads it as it read the one before.
        fresh.chmod(stands.stat().st_mode & 0o777)
    _move(version, placed, undo)
    undo.callback(_restore, fresh, stands, kept)
    rename(fresh, stands)


def _found(stage: Path, version: Path, placed: Path, text: str, undo: ExitStack) -> None:
    fresh, model = stage / "model", placed.parent
    fresh.mkdir()
    version.rename(fresh / placed.name)
    write_text(fresh / CONFIG_NAME, text)
    sync_tree(fresh)
    _move(fresh, model, undo)


def _move(source: Path, target: Path, undo: ExitStack) -> None:
    undo.callback(_move_back, source, target)
    rename(source, target)


def _move_back(source: Path, target: Path) -> None:
    if target.exists() and not source.exists():
        rename(target, source)


def _restore(fresh: Path, stands: Path, kept: Path) -> None:
    if not fresh.exists():  # it took the place of what stood
        rename(*((kept, stands) if kept.exists() else (stands, fresh)))
