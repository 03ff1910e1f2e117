"""A segment of shared memory leased to one request, and the record of the segments that servers know."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from camserve.clients.wire.segments import create, remove

__all__ = ["Lease", "Ledger"]

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

    Attributes:
        registered: Whether the server knows the segment.
        usable: Whether it may be used again after this batch.
        url: The server that it is for.
        size: Size in bytes.
        pid: The process that created it.
        name: Its name in `/dev/shm` and at the server.
    """

    def __init__(self, ledger: Ledger, url: str, size: int) -> None:
        self.registered = False
        self.usable = True
        self.url = url
        self.size = size
        self.pid = os.getpid()
        self.name, self._memory = create(size)
        self._ledger = ledger
        self._used = 0

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
