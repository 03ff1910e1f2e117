"""Input tensors in shared memory of the host: the server reads the pixels where the client wrote them.

A segment is registered with one server, once. Its name in `/dev/shm` exists only until the server has opened it; from
then on both map the memory itself, and the kernel frees it when neither does. So a client that is killed leaves nothing
behind, without a helper process such as that of `multiprocessing.shared_memory`.

It saves two copies and a socket, about half a millisecond for each megabyte: a sixth of the duration for small networks
with float32 input, and almost nothing for one or two images in uint8 (`python benchmarks/client.py shared`).
"""

from __future__ import annotations

import logging
import mmap
import os
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from camserve.clients.wire.segments import FOLDER, Lease, Ledger, is_abandoned, remove_leftovers
from camserve.errors import RequestError, UsageError
from camserve.text import printable

__all__ = ["Lease", "SharedMemory", "is_in_use", "is_unknown_region", "not_accepted"]

LIMIT = 256 * 1024 * 1024
"""Limit for all segments of one client, in bytes; a batch that does not fit is sent in the message."""

_IN_USE = re.compile(r"currently in use", re.IGNORECASE)
_UNKNOWN = re.compile(r"unable to find (shared )?memory region", re.IGNORECASE)
_log = logging.getLogger("camserve.clients.wire")


class SharedMemory:
    """The segments of one client, by server. May be used from several threads, and in a forked process.

    In one attempt at a server::

        with shared.lease(url, batch) as lease:
            if lease is None: ...send the bytes in the message: the limit is reached...
            if not lease.registered:
                with lease.registering() as message: stub.SystemSharedMemoryRegister(message, ...)
            lease.describe(request.inputs[0])
            ...send; if is_unknown_region(details): lease.discard(), and repeat from the top...

    Args:
        limit: Limit for all segments, in bytes.

    Raises:
        UsageError: If this host has no POSIX shared memory.
    """

    def __init__(self, *, limit: int = LIMIT) -> None:
        if not FOLDER.is_dir() or not os.access(FOLDER, os.W_OK | os.X_OK):
            raise UsageError(
                f"shared_memory requires write access to {FOLDER}, which this host does not give",
                hint="Remove shared_memory=True (--shared-memory); it requires Linux, and a server on the same host",
            )
        self._limit = limit
        self._closed = False
        self._begin()
        remove_leftovers()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._bytes = 0
        self._free: dict[str, list[Lease]] = {}
        self._ledger = Ledger()
        self._warned = False

    @contextmanager
    def lease(self, url: str, batch: np.ndarray[Any, Any]) -> Iterator[Lease | None]:
        """Copy a batch into a free segment, for the exclusive use of the block; yield None if the limit is reached.

        The segment is used again after the block, and after the calls that hold it.
        Never blocks, so that it may be called on an event loop.
        """
        lease = self._take(url, batch.nbytes)
        if lease is None:
            yield None
            return
        lease.hold()
        try:
            lease.write(batch)
            yield lease
        finally:
            lease.release()

    def abandoned(self, regions: Iterable[str]) -> list[Any]:
        """Return the requests that unregister the regions of clients that were killed.

        For servers that have registered a segment, which therefore are on this host.

        Args:
            regions: Names of all regions of the server, from `SystemSharedMemoryStatus`.
        """
        return [_unregistration(name) for name in regions if is_abandoned(name)]

    def unregistrations(self, url: str) -> list[Any]:
        """Return the requests that unregister all segments at a server when the client is closed."""
        with self._own_lock():
            return [_unregistration(name) for name in self._ledger.take(url)]

    def close(self) -> None:
        """Free every unused segment now, and the others when their lease ends; closing twice has no effect."""
        with self._own_lock():
            self._closed = True
            free = [lease for leases in self._free.values() for lease in leases]
            self._free.clear()
        for lease in free:
            self._drop(lease)

    def _own_lock(self) -> threading.Lock:
        if os.getpid() != self._pid:  # forked: the segments belong to the parent, and the lock may be held forever
            self._begin()
        return self._lock

    def _take(self, url: str, needed: int) -> Lease | None:
        with self._own_lock():
            free = self._free.setdefault(url, [])
            fitting = [lease for lease in free if lease.size >= needed]
            if fitting:
                lease = min(fitting, key=lambda each: each.size)
                free.remove(lease)
                return lease
            size = _rounded(needed)
            if self._closed or self._bytes + size > self._limit:
                return None
            self._bytes += size
        return self._create(url, size)

    def _create(self, url: str, size: int) -> Lease | None:
        try:
            return Lease(self._ledger, url, size, self._give_back)
        except OSError as error:
            with self._own_lock():
                self._bytes -= size
                warned, self._warned = self._warned, True
            if not warned:
                _log.warning("no shared memory for %d bytes: %s; sent in the message", size, printable(str(error)))
            return None

    def _give_back(self, lease: Lease) -> None:
        with self._own_lock():
            if lease.pid != self._pid:
                return
            if lease.registered and lease.usable and not self._closed:
                self._free.setdefault(lease.url, []).append(lease)
                return
        self._drop(lease)

    def _drop(self, lease: Lease) -> None:
        lease.free()
        with self._own_lock():
            self._bytes -= lease.size


def is_unknown_region(why: str) -> bool:
    """Return whether a server refused a request because it does not know the segment: it has been restarted."""
    return bool(_UNKNOWN.search(why))


def is_in_use(why: str) -> bool:
    """Return whether a server refused to unregister a segment because a request still uses it."""
    return bool(_IN_USE.search(why))


def not_accepted(url: str, why: str) -> RequestError:
    """Return the error for a server that does not register a segment, with the reason that it gave."""
    return RequestError(
        f"the server at {url} does not accept shared memory: {printable(why)}",
        hint="Remove shared_memory=True (--shared-memory), or start the server on this host, as this user, with "
        "--allow-shared-memory",
    )


def _unregistration(name: str) -> Any:
    return service_pb2.SystemSharedMemoryUnregisterRequest(name=name)


def _rounded(needed: int) -> int:
    """Return the next power of two, so that batches of many sizes share few segments."""
    return max(mmap.PAGESIZE, 1 << (needed - 1).bit_length())
