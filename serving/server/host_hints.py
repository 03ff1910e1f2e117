"""What on this host made a server fail: its limits, its memory, its shared memory or its folder for temporary files."""

from __future__ import annotations

import errno
import re
import resource
import signal
import tempfile
from pathlib import Path

from camserve.errors import ServerError
from camserve.serving.server.host_memory import (
    ENLARGE_SHARED_MEMORY,
    MEGABYTE,
    SHARED_MEMORY,
    cgroup_limit,
    free_shared_memory,
    size_text,
)

__all__ = ["SET_TMPDIR", "host_hint", "limits_hint", "start_error"]

SET_TMPDIR = "Set TMPDIR to a folder on another file system, for example: TMPDIR=/var/tmp camserve serve ..."

_FULL_SHARED_MEMORY = re.compile(r"shared memory (pool|region|key)")
_DESCRIPTORS = re.compile(r"Too many open files|File descriptor limit reached")
_THREADS = re.compile(r"Resource temporarily unavailable|pthread_create|can't start new thread")
_MEMORY = re.compile(r"std::bad_alloc|[Cc]annot allocate memory|MemoryError|failed to map segment")
_FILES = ("open files", "ulimit -n 4096")
_PROCESSES = ("processes, threads and memory", "ulimit -u 4096, ulimit -v unlimited, in Docker --pids-limit")


def start_error(error: OSError) -> ServerError:
    """Return the error for a server that could not be started."""
    path = error.filename2 or error.filename or ""
    why = f"{error.strerror}: {path}" if path and error.strerror else str(error)
    return ServerError(f"cannot start the server: {why}", hint=_start_hint(error.errno, Path(path)))


def host_hint(log: str, code: int | None) -> str | None:
    """Return a hint that names the part of the host that made a server fail; None if the failure shows none.

    Args:
        log: The log of the server.
        code: Its exit code, negative for a signal; None if it runs.
    """
    if code == -signal.SIGBUS or _FULL_SHARED_MEMORY.search(log) or free_shared_memory() < MEGABYTE:
        return ENLARGE_SHARED_MEMORY
    if _DESCRIPTORS.search(log):
        return _raise_limit(*_FILES)
    if _THREADS.search(log):
        return _raise_limit(*_PROCESSES)
    if code == -signal.SIGKILL or _MEMORY.search(log):
        return _raise_limit("memory", "ulimit -v unlimited, in Docker --memory")
    return None


def limits_hint() -> str | None:
    """Return a hint that names the low limits of this process; None if there are none."""
    low = _low_limits()
    return f"Raise the limits of this process: {', '.join(low)}" if low else None


def _start_hint(number: int | None, path: Path) -> str | None:
    if number in (errno.EMFILE, errno.ENFILE):
        return _raise_limit(*_FILES)
    if number in (errno.EAGAIN, errno.ENOMEM):
        return _raise_limit(*_PROCESSES)
    if path.is_relative_to(SHARED_MEMORY):
        return f"Mount it for all users: mount -t tmpfs -o mode=1777,size=1g tmpfs {SHARED_MEMORY}"
    if path.is_relative_to(tempfile.gettempdir()):
        return f"{SET_TMPDIR}, or free space there"
    return None


def _raise_limit(what: str, how: str) -> str:
    low = _low_limits()
    return f"Raise the limits of {what}: {how}" + (f" (now {', '.join(low)})" if low else "")


def _low_limits() -> list[str]:
    """Return the limits of this process that are lower than usual for a server, in the words of their tools."""
    limits = [
        ("ulimit -n", resource.getrlimit(resource.RLIMIT_NOFILE)[0], 256),
        ("ulimit -u", resource.getrlimit(resource.RLIMIT_NPROC)[0], 1024),
        ("pids.max", cgroup_limit("pids", "pids.max", "pids.max"), 1024),
    ]
    low = [f"{name} {limit}" for name, limit, usual in limits if 0 <= limit < usual]
    addresses = resource.getrlimit(resource.RLIMIT_AS)[0]
    if addresses != resource.RLIM_INFINITY:
        low.append(f"ulimit -v {addresses // 1024}")
    memory = cgroup_limit("memory", "memory.max", "memory.limit_in_bytes")
    if 0 <= memory < MEGABYTE * 1024:
        low.append(f"memory.max {size_text(memory)}")
    return low
