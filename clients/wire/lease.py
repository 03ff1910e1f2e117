"""A segment of shared memory on lease to one request, and the ledger of what servers were told of."""

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

_MOST_DOUBTFUL = 1024


class Ledger:
    """Names of the segments that servers know, or may know since they were told and did not answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: dict[str, set[str]] = {}

    def add(self, url: str, name: str, *, certain: bool) -> None:
        """Notes that a server was told; what is doubtful is forgotten rather than piled up without bound."""
        with self._lock:
            told = self._told.setdefault(url, set())
            if certain or len(told) < _MOST_DOUBTFUL:
                told.add(name)

    def forget(self, url: str, name: str) -> None:
        """Notes that a server does not know a segment."""
        with self._lock:
            self._told.get(url, set()).discard(name)

    def take(self, url: str) -> list[str]:
        """All names that a server was told, which are forgotten hereby."""
        with self._lock:
            return sorted(self._told.pop(url, ()))


class Lease:
    """A segment that holds one batch, for the length of one try at one server.

    Attributes:
        registered: Whether the server knows the segment.
        usable: Whether it may hold another batch after this one.
        url: The server that it is for.
        size: Bytes that it has room for.
        pid: The process that made it.
        name: Under which the server knows it.
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
        """Yields the `SystemSharedMemoryRegisterRequest` to send; the name stands in `/dev/shm` until the block ends.

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
        """Writes into a `ModelInferRequest.InferInputTensor` where its bytes lie."""
        tensor.parameters["shared_memory_region"].string_param = self.name
        tensor.parameters["shared_memory_byte_size"].int64_param = self._used

    def discard(self) -> None:
        """Has the segment freed at the end of the lease: for when the server turns out not to know it."""
        self.usable = False
        self._ledger.forget(self.url, self.name)

    def write(self, batch: np.ndarray[Any, Any]) -> None:
        """Copies a batch to the beginning of the segment."""
        self._used = batch.nbytes
        np.copyto(np.frombuffer(self._memory, batch.dtype, batch.size).reshape(batch.shape), batch)

    def free(self) -> None:
        """Gives the memory back to the kernel, or leaves it to the server if that still reads it."""
        remove(self.name)
        with suppress(BufferError):  # a traceback holds the array that was written: the memory goes with it
            self._memory.close()
