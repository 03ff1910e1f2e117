"""One writer at a time: a lock of a repository that holds across threads, processes and their deaths.

The kernel keeps it (`flock`) on a file at the repository's root, where Triton looks at folders alone, and gives it free
when its holder ends, however that ends. What stands in the file only says who holds it.
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
"""How long a writer waits for the one before it."""

_INTERVAL = 0.02
_PATIENCE = 1.0


@contextmanager
def locked(root: Path, purpose: str, *, wait: float = LOCK_SECONDS, tell: Progress | None = None) -> Iterator[None]:
    """Holds the repository's lock.

    Args:
        root: The repository's folder.
        purpose: What for, such as `publishes toy`; others who wait are told.
        wait: Seconds to wait for another holder.
        tell: Called once with who is waited for, if it takes longer than a moment.

    Raises:
        RepositoryError: If another holds it all the time, or it cannot be had here.
    """
    descriptor = _acquire(root / LOCK_NAME, wait, tell or no_progress)
    try:
        holder = f"process {os.getpid()} on {socket.gethostname()}, which {purpose} since {_now()}"
        with suppress(OSError):  # a full disk keeps nobody from holding it
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, holder.encode(), 0)
        yield
    finally:
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
        os.close(descriptor)


def _acquire(path: Path, wait: float, tell: Progress) -> int:
    began, told = time.monotonic(), False
    while True:
        descriptor = _try(path)
        if descriptor is not None:
            return descriptor
        waited = time.monotonic() - began
        if waited >= wait:
            raise RepositoryError(
                f"the repository {path.parent} is in use by {_holder(path)}, and was for the {wait:g} s of waiting",
                hint="Try again when that has ended",
            )
        if waited >= _PATIENCE and not told:
            told = True
            tell(f"wait for {_holder(path)}")
        time.sleep(_INTERVAL)


def _try(path: Path) -> int | None:
    """The locked file, or None while another holds it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise _impossible(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its holder may have removed the file between the look and the lock, with a repository that failed to be.
        if os.fstat(descriptor).st_nlink > 0:
            return descriptor
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            os.close(descriptor)
            raise _impossible(path, error) from error
    os.close(descriptor)
    return None


def _impossible(path: Path, error: OSError) -> RepositoryError:
    return RepositoryError(
        f"the repository {path.parent} cannot be locked: {path}: {error.strerror}",
        hint="Whoever changes a repository needs to write there, and a file system that knows flock",
    )


def _holder(path: Path) -> str:
    try:
        return printable(path.read_text(encoding="utf-8", errors="replace")[:300]) or "another publisher"
    except OSError:
        return "another publisher"


def _now() -> str:
    return datetime.now(tz=timezone.utc).isoformat(timespec="seconds")
