"""Writing that lasts: what was written is on the disk, not only on its way there, before anything is built upon it."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from camserve.atomic import sync

__all__ = ["copy_file", "copy_tree", "make_folder", "remove_tree", "rename", "sync_tree", "write_text"]


def sync_tree(folder: Path) -> None:
    """Waits until a folder and everything below it is on the disk."""
    for path in sorted(folder.rglob("*")):
        sync(path)
    sync(folder)


def make_folder(path: Path) -> None:
    """Makes a folder that stays."""
    path.mkdir()
    sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Writes a file that stays."""
    path.write_bytes(text.encode("utf-8"))
    sync(path)


def copy_file(source: Path, target: Path) -> None:
    """Copies a plain file; a link or a pipe that took its place meanwhile is not followed."""
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream, target.open("xb") as written:
        shutil.copyfileobj(stream, written, 1 << 20)


def copy_tree(source: Path, target: Path) -> None:
    """Copies a plain file, or a folder of such."""
    if not source.is_dir():
        copy_file(source, target)
        return
    target.mkdir()
    for path in sorted(source.iterdir()):
        copy_tree(path, target / path.name)


def rename(source: Path, target: Path) -> None:
    """Renames, over a file that is there, and returns when both folders' names are on the disk."""
    source.replace(target)
    sync(target.parent)
    if source.parent != target.parent:
        sync(source.parent)


def remove_tree(path: Path) -> None:
    """Removes a file or a folder, if it is there; a link is removed and not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
