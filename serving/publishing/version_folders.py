"""Renames of a version and its configuration into a model, each of which can be undone."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path

from camserve.serving.config.message import CONFIG_NAME
from camserve.serving.repository.durable import copy_access, keep_access, rename, sync_tree, write_text

__all__ = ["add_model", "add_version", "move"]


def add_version(stage: Path, version: Path | None, target: Path, text: str, undo: ExitStack) -> None:
    """Rename a version into its model and replace the configuration.

    Args:
        stage: Folder to write in.
        version: The version's folder; None if only the configuration changes.
        target: The version's folder in the model.
        text: The content of `config.pbtxt`.
        undo: Restores the previous state when it is closed.
    """
    fresh, current, backup = stage / CONFIG_NAME, target.parent / CONFIG_NAME, stage / f"{CONFIG_NAME}.before"
    write_text(fresh, text)
    if current.exists():
        # Backed up in advance, so that restoring it is a rename, which works on a full disk.
        shutil.copy2(current, backup)
        copy_access(current, backup)
        keep_access(current, fresh)
    if version is not None:
        move(version, target, undo)
    undo.callback(_restore, fresh, current, backup)
    rename(fresh, current)


def add_model(stage: Path, version: Path, target: Path, text: str, undo: ExitStack) -> None:
    """Add a model with its first version by one rename; the arguments are those of `add_version`."""
    fresh, model = stage / "model", target.parent
    fresh.mkdir()
    version.rename(fresh / target.name)
    write_text(fresh / CONFIG_NAME, text)
    sync_tree(fresh)
    move(fresh, model, undo)


def move(source: Path, target: Path, undo: ExitStack) -> None:
    """Rename a file or folder durably, until `undo` is closed."""
    undo.callback(_move_back, source, target)
    rename(source, target)


def _move_back(source: Path, target: Path) -> None:
    if target.exists() and not source.exists():
        rename(target, source)


def _restore(fresh: Path, current: Path, backup: Path) -> None:
    if not fresh.exists():  # it replaced the current configuration
        rename(*((backup, current) if backup.exists() else (current, fresh)))
