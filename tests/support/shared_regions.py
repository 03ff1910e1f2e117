"""Inference through shared memory, and the segments in the server and on the host."""

from __future__ import annotations

import os
import time
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from camserve.clients.wire.segments import FOLDER
from camserve.clients.wire.shared_memory import SharedMemory, is_in_use, is_unknown_region

__all__ = ["SECONDS", "SharedMemoryClient", "names", "registered"]

Array = np.ndarray[Any, Any]
SECONDS = 20
BATCH = np.arange(32, dtype=np.float32)


class SharedMemoryClient:
    """Sends batches as a transport does, and counts the registrations."""

    def __init__(self, url: str, shared: SharedMemory) -> None:
        self.url = url
        self.shared = shared
        self.registered = 0
        self._channel = grpc.insecure_channel(url)
        self.stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def logits(self, batch: Array) -> Array:
        with self.shared.lease(self.url, batch) as lease:
            assert lease is not None
            if not lease.registered:
                with lease.registering() as message:
                    self.stub.SystemSharedMemoryRegister(message, timeout=SECONDS)
                self.registered += 1
            request = service_pb2.ModelInferRequest(model_name="toy")
            lease.describe(request.inputs.add(name="image", datatype="FP32", shape=batch.shape))
            request.outputs.add(name="logits")
            try:
                answer = self.stub.ModelInfer(request, timeout=SECONDS)
            except grpc.RpcError as error:
                if not is_unknown_region(error.details() or ""):
                    raise
                lease.discard()
            else:
                return np.frombuffer(answer.raw_output_contents[0], np.float32).reshape(len(batch), -1)
        return self.logits(batch)

    def regions(self, pid: int | None = None) -> list[str]:
        """Return the regions of a process (default: this one) that the server knows."""
        request = service_pb2.SystemSharedMemoryStatusRequest(name="")
        known = self.stub.SystemSharedMemoryStatus(request, timeout=SECONDS).regions
        return [name for name in known if f"-{pid or os.getpid()}-" in name]

    def unregister(self, messages: list[Any]) -> None:
        for message in messages:
            self._unregister(message)

    def _unregister(self, message: Any) -> None:
        end = time.monotonic() + SECONDS
        while True:
            try:
                self.stub.SystemSharedMemoryUnregister(message, timeout=SECONDS)
            except grpc.RpcError as error:
                if not is_in_use(error.details() or "") or time.monotonic() > end:
                    raise
                time.sleep(0.01)
            else:
                return

    def close(self) -> None:
        self._channel.close()


def names(pid: int | None = None) -> list[str]:
    """Return the names of the segments of a process (default: this one) in the directory."""
    return [path.name for path in FOLDER.glob(f"camserve-client-*-*-{pid or os.getpid()}-*")]


def registered(shared: SharedMemory, url: str) -> str:
    """Return the name of the segment for the next batch, registered with a server."""
    with shared.lease(url, BATCH) as lease:
        assert lease is not None
        if not lease.registered:
            with lease.registering():
                pass
        return lease.name
