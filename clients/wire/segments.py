"""Segments of POSIX shared memory, whose names identify the process that owns them, and their leases to requests."""

from __future__ import annotations

import mmap
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

__all__ = ["FOLDER", "Lease", "Ledger", "create", "is_abandoned", "remove", "remove_leftovers"]

FOLDER = Path("/dev/shm")  # noqa: S108 - where shm_open looks
"""Directory of the names of segments."""

_NAME = re.compile(
    r"camserve-client-(?P<host>[0-9a-f]+-[0-9]+)-(?P<pid>[0-9]{1,10})-(?P<start>[0-9]{1,20})-[0-9a-f]{16}"
)
_MAX_UNCERTAIN = 1024


class Ledger:
    """Names of the segments that servers know, or may know because they did not reply."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: dict[str, set[str]] = {}

    def add(self, url: str, name: str, *, certain: bool) -> None:
        """Record a segment that a server knows; uncertain ones only up to a limit."""
        with self._lock:
            names = self._names.setdefault(url, set())
            if certain or len(names) < _MAX_UNCERTAIN:
                names.add(name)

    def forget(self, url: str, name: str) -> None:
        """Record that a server does not know a segment."""
        with self._lock:
            self._names.get(url, set()).discard(name)

    def take(self, url: str) -> list[str]:
        """Return and forget the names of all segments of a server."""
        with self._lock:
            return sorted(self._names.pop(url, ()))


class Lease:
    """A segment that contains one batch, for one attempt at one server.

    Args:
        ledger: Records what the server knows.
        url: The server.
        size: Size in bytes.
        give_back: Called when nobody uses the segment any more.

    Attributes:
        registered: Whether the server knows the segment.
        usable: Whether it may be used again after this batch.
        url: The server that it is for.
        size: Size in bytes.
        pid: The process that created it.
        name: Its name in `/dev/shm` and at the server.
    """

    def __init__(self, ledger: Ledger, url: str, size: int, give_back: Callable[[Lease], None]) -> None:
        self.registered = False
        self.usable = True
        self.url = url
        self.size = size
        self.pid = os.getpid()
        self.name, self._memory = create(size)
        self._ledger = ledger
        self._used = 0
        self._give_back = give_back
        self._lock = threading.Lock()
        self._users = 0

    def hold(self) -> None:
        """Keep the segment for one more user: the client that fills it, or a call that the server works on."""
        with self._lock:
            self._users += 1

    def release(self) -> None:
        """Record that a user needs the segment no more; the last one gives it back."""
        with self._lock:
            self._users -= 1
            is_free = self._users == 0
        if is_free:
            self._give_back(self)

    @contextmanager
    def registering(self) -> Iterator[Any]:
        """Yield the `SystemSharedMemoryRegisterRequest` to send; the name is in `/dev/shm` until the block ends.

        If the block raises, the segment is not used again.
        """
        self.usable = False
        try:
            yield service_pb2.SystemSharedMemoryRegisterRequest(
                name=self.name, key=f"/{self.name}", byte_size=self.size
            )
            self.registered = self.usable = True
        finally:
            self._ledger.add(self.url, self.name, certain=self.registered)
            remove(self.name)

    def describe(self, tensor: Any) -> None:
        """Write the location of the bytes into a `ModelInferRequest.InferInputTensor`."""
        tensor.parameters["shared_memory_region"].string_param = self.name
        tensor.parameters["shared_memory_byte_size"].int64_param = self._used

    def discard(self) -> None:
        """Free the segment at the end of the lease, because the server does not know it."""
        self.usable = False
        self._ledger.forget(self.url, self.name)

    def write(self, batch: np.ndarray[Any, Any]) -> None:
        """Copy a batch to the start of the segment."""
        self._used = batch.nbytes
        np.copyto(np.frombuffer(self._memory, batch.dtype, batch.size).reshape(batch.shape), batch)

    def free(self) -> None:
        """Return the memory to the kernel, or leave it to the server if that still maps it."""
        remove(self.name)
        with suppress(BufferError):  # a traceback refers to the written array: the memory is freed with it
            self._memory.close()


def create(size: int) -> tuple[str, mmap.mmap]:
    """Create a segment of this process, readable by its user only, and return its name and its memory.

    Raises:
        OSError: If there is not enough memory.
    """
    pid = os.getpid()
    name = f"camserve-client-{_host()}-{pid}-{_start(pid)}-{secrets.token_hex(8)}"
    descriptor = os.open(FOLDER / name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        # ftruncate allocates no memory: writing later, when there is none left, would end the process (SIGBUS).
        os.posix_fallocate(descriptor, 0, size)
        return name, mmap.mmap(descriptor, size)
    except BaseException:
        remove(name)
        raise
    finally:
        os.close(descriptor)


def remove(name: str) -> None:
    """Remove the name, if it exists; the memory remains until no process maps it."""
    with suppress(FileNotFoundError):
        (FOLDER / name).unlink()


def remove_leftovers() -> None:
    """Remove the names of clients that were killed between creating and registering a segment."""
    with suppress(OSError):
        for path in FOLDER.glob("camserve-client-*"):
            if is_abandoned(path.name):
                with suppress(OSError):  # owned by another user, or removed meanwhile
                    path.unlink()


def is_abandoned(name: str) -> bool:
    """Return whether the process of a segment has ended; False if that cannot be determined here."""
    match = _NAME.fullmatch(name)
    if match is None or match["host"] != _host():
        return False
    pid, started = int(match["pid"]), int(match["start"])
    start = _start(pid)
    return not _is_running(pid) or (start != started and 0 not in (start, started))


def _host() -> str:
    """Return the boot and the namespace to which process numbers refer."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip().replace("-", "")
        return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return f"0-{os.getpid()}"


def _start(pid: int) -> int:
    """Return the start of a process in clock ticks after boot, which distinguishes reused process numbers; or 0."""
    try:
        # The second field is the program's name in brackets, which may contain brackets and spaces.
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
