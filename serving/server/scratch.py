"""The scratch folder and the shared memory of a server: locked while it runs, removed after its end.

The program that starts a server and the guard hold two locks: a file in the scratch folder, and one beside the segments
in `/dev/shm`, since containers can share either without the other. The kernel releases both when the last holder ends,
in whatever way, so that the next start can tell what servers left that were killed together with their guards.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from camserve.serving.server import guard

__all__ = ["Scratch", "create_scratch", "remove_leftovers"]

_log = logging.getLogger("camserve.serving")

_PREFIX = "camserve-triton-"
_LOCK = "lock"


@dataclass(frozen=True)
class Scratch:
    """The scratch folder of a server.

    Attributes:
        folder: The folder, readable by its user only. The names of the server's segments start with its name.
        locks: Descriptors of the two lock files. The guard inherits them.
    """

    folder: Path
    locks: tuple[int, int]

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.folder.name

    def remove(self) -> None:
        """Remove the folder and the segments, and release the locks."""
        guard.remove_scratch(self.folder)
        for lock in self.locks:
            os.close(lock)


def create_scratch() -> Scratch:
    """Create a scratch folder below TMPDIR and lock it.

    Raises:
        OSError: If the folder or a lock file cannot be created.
    """
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        lock = _create_locked(folder / _LOCK)
        try:
            return Scratch(folder, (lock, _create_locked(guard.SHARED_MEMORY / f"{folder.name}.{_LOCK}")))
        except BaseException:
            os.close(lock)
            raise
    except BaseException:
        guard.remove_scratch(folder)
        raise


def remove_leftovers() -> None:
    """Remove the scratch folders and segments of this user's servers that were killed together with their guards."""
    for folder in _named(Path(tempfile.gettempdir()), ""):
        with suppress(OSError):  # FileNotFoundError: its server has just ended
            status = folder.lstat()
            if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid():
                _remove_abandoned(folder / _LOCK, partial(guard.remove_folder, folder))
    for lock in _named(guard.SHARED_MEMORY, f".{_LOCK}"):
        _remove_abandoned(lock, partial(guard.remove_segments, lock.stem))


def _named(parent: Path, ending: str) -> list[Path]:
    pattern = re.compile(rf"{_PREFIX}[a-z0-9_]{{8}}{re.escape(ending)}")
    return [entry for entry in parent.glob(f"{_PREFIX}*") if pattern.fullmatch(entry.name)]


def _remove_abandoned(lock: Path, remove: Callable[[], None]) -> None:
    """Call `remove` while holding a lock file, if it exists, belongs to this user, and nobody else holds it."""
    with suppress(OSError):  # BlockingIOError: it is held
        descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_uid == os.geteuid():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _log.info("removing what a killed server left: %s", lock)
                remove()
        finally:
            os.close(descriptor)


def _create_locked(path: Path) -> int:
    """Create a file that is locked before it has its name, so that it never seems abandoned."""
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        new.rename(path)
    except BaseException:
        os.close(descriptor)
        new.unlink()
        raise
    return descriptor
