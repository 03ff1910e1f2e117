"""File operations that return only after the data is on the disk."""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

from camserve.access import give_access, read_access
from camserve.atomic import sync

__all__ = [
    "copy_access",
    "copy_tree",
    "keep_access",
    "make_folder",
    "remove_tree",
    "rename",
    "replace_text",
    "sync_tree",
    "write_text",
]

_log = logging.getLogger("camserve.serving")


def sync_tree(folder: Path) -> None:
    """Flush a folder and everything below it to the disk."""
    for path in sorted(folder.rglob("*")):
        sync(path)
    sync(folder)


def make_folder(path: Path, *, mode: int = 0o777) -> None:
    """Create a folder durably, with a mode that the umask narrows."""
    path.mkdir(mode)
    sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file durably."""
    path.write_bytes(text.encode("utf-8"))
    sync(path)


def replace_text(path: Path, text: str, *, stage: Path) -> None:
    """Write a file atomically, with the owner, mode and access control list of the file that it replaces.

    Args:
        path: The file.
        text: Its new content.
        stage: Folder to write in before the rename, on the same file system.
    """
    fresh = stage / path.name
    fresh.write_bytes(text.encode("utf-8"))
    keep_access(path, fresh)
    rename(fresh, path)


def keep_access(path: Path, fresh: Path) -> None:
    """Give a file that will replace another one its owner, mode and access control list, and flush it to the disk.

    A server that runs as another user can then read it as before. A warning is logged if that is not permitted.
    """
    if not copy_access(path, fresh):
        _log.warning(
            "%s: its owner, group or access control list could not be kept; check that the server can still read it",
            path,
        )


def copy_access(path: Path, other: Path) -> bool:
    """Give a file the owner, mode and access control list of another one, if that exists, and flush it to the disk.

    Returns:
        Whether all of that was permitted.
    """
    access = read_access(path)
    given = access is None or give_access(access, other)
    sync(other)
    return given


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
