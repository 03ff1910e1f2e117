"""The repository lock: one writer at a time, across threads and processes.

The kernel keeps the lock (`flock`) on a file at the root of the repository, where Triton only looks at folders, and
releases it when its holder ends, however that happens. The content of the file only identifies its holder for messages.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from camserve.errors import RepositoryError
from camserve.progress import Progress, no_progress
from camserve.text import printable

__all__ = ["LOCK_NAME", "LOCK_SECONDS", "locked"]

LOCK_NAME = ".camserve.lock"
LOCK_SECONDS = 600.0
"""How long a writer waits for the lock by default."""

_POLL_SECONDS = 0.02
_REPORT_AFTER_SECONDS = 1.0


@contextmanager
def locked(root: Path, purpose: str, *, wait: float = LOCK_SECONDS, progress: Progress | None = None) -> Iterator[None]:
    """Hold the lock of a repository.

    Args:
        root: The repository's folder.
        purpose: What the lock is held for, such as `publishing toy`; shown to others that wait for it.
        wait: Seconds to wait for another holder.
        progress: Called once with the current holder if the wait takes longer than a second.

    Raises:
        RepositoryError: If another process holds the lock for that long, or the folder cannot be locked.
    """
    descriptor = _acquire(root / LOCK_NAME, wait, progress or no_progress)
    try:
        holder = f"process {os.getpid()} on {socket.gethostname()} ({purpose} since {_now()})"
        with suppress(OSError):  # the lock works on a full disk, too
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, holder.encode(), 0)
        yield
    finally:
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
        os.close(descriptor)


def _acquire(path: Path, wait: float, progress: Progress) -> int:
    start, reported = time.monotonic(), False
    while True:
        descriptor = _try_lock(path)
        if descriptor is not None:
            return descriptor
        waited = time.monotonic() - start
        if waited >= _REPORT_AFTER_SECONDS and not reported:
            reported = True
            progress(f"wait for {_holder(path)}")
        if waited >= wait:
            raise RepositoryError(
                f"the repository {path.parent} is still locked after {wait:g} s by {_holder(path)}",
                hint="Retry when it has finished",
            )
        time.sleep(_POLL_SECONDS)


def _try_lock(path: Path) -> int | None:
    """Return the descriptor of the locked file, or None if another process holds the lock."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise _not_lockable(path, error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The holder deletes the file if it created the repository and failed: check that it still has a name.
        if os.fstat(descriptor).st_nlink > 0:
            return descriptor
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            os.close(descriptor)
            raise _not_lockable(path, error) from None
    os.close(descriptor)
    return None


def _not_lockable(path: Path, error: OSError) -> RepositoryError:
    return RepositoryError(
        f"cannot lock the repository {path.parent}: {path}: {error.strerror}",
        hint="Use a folder that you can write to, on a file system that supports flock",
    )


def _holder(path: Path) -> str:
    try:
        return printable(path.read_text(encoding="utf-8", errors="replace")[:300]) or "another publisher"
    except OSError:
        return "another publisher"


def _now() -> str:
    return datetime.now(tz=timezone.utc).isoformat(timespec="seconds")
