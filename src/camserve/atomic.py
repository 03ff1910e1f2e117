"""Write a file or folder beside its destination and rename it into place, so that no partial result is visible."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from camserve.access import Access, give_access, give_tree_access, read_access

__all__ = [
    "Replacement",
    "add_file",
    "remove_leftovers",
    "remove_leftovers_below",
    "replace_file",
    "replace_folder",
    "sync",
]

_TEMPORARY = re.compile("[.]camserve-[0-9a-f]{8}-[0-9a-f]{16}[.]tmp")
_FOLDER_SYNC_UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)
_LINK_UNSUPPORTED = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # FAT, some network file systems


@dataclass
class Replacement:
    """A file that is being written, to replace another one.

    Attributes:
        stream: Its content.
        access_kept: Once it is in place: False if it replaced a file whose owner, group, mode or access control list
            it could not be given.
    """

    stream: BinaryIO
    access_kept: bool = True


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
def replace_file(target: Path) -> Iterator[Replacement]:
    """Yield a new file, which replaces `target` if the block succeeds and is removed otherwise.

    It gets the owner, group, mode and extended attributes of the file that it replaces, as far as this process may set
    them, and is never readable by more users. Without an existing file, its mode is set by the umask.

    Raises:
        FileExistsError: If `target` is a link, a pipe, a device or a socket.
        IsADirectoryError: If `target` is a folder.
        OSError: If the file cannot be created, flushed to the disk or renamed.
    """
    before = _replaceable(target)
    with _temporary_file(target, 0o666 if before is None else 0o600) as (temporary, stream):
        replacement = Replacement(stream)
        yield replacement
        stream.flush()
        # It may have been changed or removed since.
        access = _replaceable(target) or before
        if access is not None:
            replacement.access_kept = give_access(access, stream.fileno())
        os.fsync(stream.fileno())
        temporary.replace(target)


def _replaceable(target: Path) -> Access | None:
    access = read_access(target)
    if access is not None and target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    return access


def add_file(target: Path, content: bytes) -> None:
    """Write a new file, which is complete as soon as it is visible.

    Raises:
        FileExistsError: If anything has that name already, such as a link without a target.
        OSError: If the file cannot be created, flushed to the disk or named.
    """
    with _temporary_file(target, 0o666) as (temporary, stream):
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
        try:
            os.link(temporary, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _LINK_UNSUPPORTED:
                raise
            target.open("xb").close()
            temporary.replace(target)


@contextmanager
def _temporary_file(target: Path, mode: int) -> Iterator[tuple[Path, BinaryIO]]:
    """Create a file that nothing else has opened; it is removed at the end, unless it was renamed."""
    temporary = target.with_name(f"{_prefix(target)}{secrets.token_hex(8)}.tmp")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        with os.fdopen(os.open(temporary, flags, mode), "w+b") as stream:
            _lock(stream.fileno())
            yield temporary, stream
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def replace_folder(target: Path, *, example: str) -> Iterator[Path]:
    """Yield an empty folder beside `target`, which replaces it if the block succeeds and is removed otherwise.

    The folder and its files get the access of their predecessors, or without an existing folder that of the umask.
    Missing parent folders are created, and removed again if the block fails.

    Args:
        target: The folder.
        example: Name of a file in an existing folder whose access the files without a predecessor get.

    Raises:
        OSError: If the folder cannot be created or renamed; `target` is then unchanged.
    """
    missing = [parent for parent in target.parents if not parent.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = target.parent / f".{target.name}.{secrets.token_hex(4)}"
        folder.mkdir(0o700 if target.exists() else 0o777)
        try:
            with _in_use(folder):
                yield folder
            if target.exists():
                give_tree_access(folder, target, file=target / example)
            _swap(folder, target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        if not target.exists():
            _remove_empty(missing)


def remove_leftovers(target: Path) -> None:
    """Remove what killed processes left of files and folders that were to replace `target`.

    What another process still writes is locked, and remains.
    """
    file_name = re.compile(re.escape(_prefix(target)) + "[0-9a-f]{16}[.]tmp")
    retired = "(?:[.]old)?" if target.exists() else ""  # without, the last folder is not lost
    folder_name = re.compile(re.escape(f".{target.name}.") + "[0-9a-f]{8}" + retired)
    with suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                is_leftover = folder_name.fullmatch(entry.name)
            else:
                is_leftover = file_name.fullmatch(entry.name)
            if is_leftover:
                _remove_unlocked(Path(entry.path))


def remove_leftovers_below(folder: Path) -> None:
    """Remove what killed processes left of any files that were to be written into a folder and the folders in it.

    What another process still writes is locked, and remains.
    """
    for parent, _, names in os.walk(folder):
        for name in filter(_TEMPORARY.fullmatch, names):
            _remove_unlocked(Path(parent, name))


def _remove_unlocked(path: Path) -> None:
    with suppress(OSError), _in_use(path) as is_unused:
        if not is_unused:
            return
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def _in_use(path: Path) -> Iterator[bool]:
    """Lock a file or folder for the block, and yield whether nobody else has."""
    if sys.platform == "win32":
        yield False
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        yield _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock a file or folder until it is closed; return whether nobody else has."""
    if sys.platform == "win32":
        return False
    import fcntl  # noqa: PLC0415  (Windows has none)

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # such as on some network file systems
        return False
    return True


def _prefix(target: Path) -> str:
    """Return the start of the names of temporary files for a target."""
    return f".camserve-{zlib.crc32(os.fsencode(target.name)):08x}-"


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
