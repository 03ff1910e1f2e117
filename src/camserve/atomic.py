"""Write a file or folder beside its destination and rename it into place, so that no partial result is visible."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["replace_file", "replace_folder", "sync"]

_FOLDER_SYNC_UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)


def sync(path: Path) -> None:
    """Flush the content of a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems do not support this for folders.
        if error.errno not in _FOLDER_SYNC_UNSUPPORTED or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


@contextmanager
def replace_file(target: Path) -> Iterator[Path]:
    """Yield an empty file beside `target`, which replaces it if the block succeeds and is removed otherwise.

    If `target` is a symbolic link, the link stays, and the file that it points to is replaced.

    Raises:
        OSError: If the file cannot be created, flushed to the disk or renamed.
    """
    target = Path(os.path.realpath(target))  # Path.resolve fails on links that form a cycle
    temporary = target.parent / f".camserve-{secrets.token_hex(8)}.tmp"
    try:
        temporary.open("xb").close()
        yield temporary
        sync(temporary)
        temporary.replace(target)
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def replace_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target`, which replaces it if the block succeeds and is removed otherwise.

    Missing parent folders are created, and removed again if the block fails.

    Raises:
        OSError: If the folder cannot be created or renamed; `target` is then unchanged.
    """
    missing = [parent for parent in target.parents if not parent.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            folder.chmod(0o755)
            yield folder
            _swap(folder, target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        if not target.exists():
            _remove_empty(missing)


def _swap(folder: Path, target: Path) -> None:
    if not target.exists():
        folder.rename(target)
        return
    retired = folder.with_name(f"{folder.name}.old")
    target.rename(retired)
    try:
        folder.rename(target)
    except OSError:
        retired.rename(target)
        raise
    shutil.rmtree(retired, ignore_errors=True)


def _remove_empty(folders: Sequence[Path]) -> None:
    with suppress(OSError):  # another process may use one already
        for folder in folders:
            folder.rmdir()
