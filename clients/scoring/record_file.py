"""The file of a record: opened by one run at a time, and appended to so that a killed run loses no complete line."""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from pathlib import Path
from typing import BinaryIO

from camserve.errors import ClientError, UsageError
from camserve.text import reason

if sys.platform != "win32":
    import fcntl

__all__ = ["RecordFile"]

_SECONDS_BETWEEN_SYNCS = 5.0
_OPEN_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK if hasattr(os, "O_NOFOLLOW") else 0
_LOCK_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # some network file systems


class RecordFile:
    """A locked file, of this user only, which is created if it is missing.

    Args:
        path: The file.
        name: What messages call it.

    Attributes:
        path: The file.
        size: Its bytes when it was opened.
    """

    def __init__(self, path: Path, name: str) -> None:
        """Open and lock the file.

        Raises:
            ClientError: If another run has locked it.
            UsageError: If it cannot be opened, or is not a regular file.
        """
        self.path = path
        self._name = name
        self._descriptor = _locked(path, name)
        self.size = os.fstat(self._descriptor).st_size
        self._synced = time.monotonic()

    def reader(self) -> BinaryIO:
        """Open the file for reading, at its start."""
        try:
            return os.fdopen(os.open(self.path, os.O_RDONLY | _OPEN_FLAGS), "rb", 256 * 1024)
        except OSError as error:
            raise self._failure("read", error) from None

    def truncate(self, size: int) -> None:
        """Cut off what follows the first `size` bytes.

        Raises:
            ClientError: If that fails.
        """
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as error:
            raise self._failure("written", error) from None

    def append(self, line: bytes) -> None:
        """Append a line, and flush it to the disk every few seconds.

        Raises:
            ClientError: If that fails; the line is then incomplete.
        """
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
            now = time.monotonic()
            if now - self._synced >= _SECONDS_BETWEEN_SYNCS:
                os.fsync(self._descriptor)
                self._synced = now
        except OSError as error:
            raise self._failure("written", error) from None

    def close(self, *, remove: bool) -> None:
        """Close the file, which unlocks it.

        Args:
            remove: Whether to remove the file.
        """
        if self._descriptor < 0:
            return
        try:
            if remove:
                self.path.unlink(missing_ok=True)
        except OSError as error:
            raise self._failure("removed", error) from None
        finally:
            os.close(self._descriptor)
            self._descriptor = -1

    def _failure(self, what: str, error: OSError) -> ClientError:
        return ClientError(
            f"{self._name} cannot be {what}: {reason(error, self.path)}",
            hint="Check free space and permissions of its folder, then run the same command with --resume",
        )


def _locked(path: Path, name: str) -> int:
    while True:
        descriptor = _opened(path, name)
        try:
            if sys.platform != "win32":
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise ClientError(
                f"another run writes {name}",
                hint="Wait until it has ended, or choose another file: --output FILE",
            ) from None
        except OSError as error:
            if error.errno not in _LOCK_UNSUPPORTED:
                os.close(descriptor)
                raise
        if os.fstat(descriptor).st_nlink:  # the run that had the lock may have removed the file
            return descriptor
        os.close(descriptor)


def _opened(path: Path, name: str) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _OPEN_FLAGS, 0o600)
    except OSError as error:
        why = "it is a link" if error.errno == errno.ELOOP else reason(error, path)
        raise UsageError(
            f"{name} cannot be opened, which records finished rows: {why}",
            hint="Check the permissions of its folder, or choose another file: --output FILE",
        ) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError(f"{name} is not a regular file, and finished rows are recorded there", hint="Remove it")
    return descriptor
