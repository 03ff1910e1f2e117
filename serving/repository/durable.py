"""File operations that return only after the data is on the disk."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from camserve.atomic import sync

__all__ = [
    "copy_tree",
    "make_folder",
    "remove_tree",
    "rename",
    "replace_text",
    "sync_tree",
    "write_text",
]


def sync_tree(folder: Path) -> None:
    """Flush a folder and everything below it to the disk."""
    for path in sorted(folder.rglob("*")):
        sync(path)
    sync(folder)


def make_folder(path: Path) -> None:
    """Create a folder durably."""
    path.mkdir()
    sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file durably."""
    path.write_bytes(text.encode("utf-8"))
    sync(path)


def replace_text(path: Path, text: str, *, stage: Path) -> None:
    """Replace the text of an existing file atomically, keeping its permissions.

    Args:
        path: The file.
        text: Its new content.
        stage: Folder to write in before the rename, on the same file system.
    """
    fresh = stage / path.name
    write_text(fresh, text)
    fresh.chmod(path.stat().st_mode & 0o777)
    rename(fresh, path)


def _copy_file(source: Path, target: Path) -> None:
    """Copy a regular file, without following a link or opening a pipe that replaced it."""
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream, target.open("xb") as written:
        shutil.copyfileobj(stream, written, 1 << 20)


def copy_tree(source: Path, target: Path) -> None:
    """Copy a regular file, or a folder of regular files."""
    if not source.is_dir():
        _copy_file(source, target)
        return
    target.mkdir()
    for path in sorted(source.iterdir()):
        copy_tree(path, target / path.name)


def rename(source: Path, target: Path) -> None:
    """Rename a file or folder durably, replacing an existing file."""
    source.replace(target)
    sync(target.parent)
    if source.parent != target.parent:
        sync(source.parent)


def remove_tree(path: Path) -> None:
    """Remove a file or a folder, if it exists; a link is removed and not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
