"""Load on a server from several processes: images per second and latencies, over gRPC or system shared memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from support.gpu.isolation import MeasurementError
from tritonclient.utils import InferenceServerException

__all__ = ["ClientLoad", "Measured", "Target", "apply_load"]

_PATIENCE = 60.0
_LAST_USE = 5.0
_BYTES = {"FP32": 4, "INT32": 4, "UINT8": 1}


@dataclass(frozen=True)
class ClientLoad:
    """A load: images per request, concurrent requests, and the processes that share them."""

    images: int
    at_once: int
    processes: int = 1

    def __str__(self) -> str:
        return f"{self.images}x{self.at_once} in {self.processes}"


@dataclass(frozen=True)
class Target:
    """A served model.

    Attributes:
        url: Address of the server.
        model: Name of the model.
        shape: Shape of its input, without the batch axis.
        datatype: Triton's data type of its input.
        outputs: Requested outputs with the number of values and the data type of each image.
    """

    url: str
    model: str
    shape: tuple[int, ...]
    datatype: str
    outputs: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True)
class Measured:
    """Images per second, and the duration of each request in seconds."""

    rate: float
    durations: Sequence[float]

    def percentile_ms(self, share: float) -> float:
        """Return a percentile of the durations, in milliseconds."""
        return float(np.percentile(self.durations, share)) * 1e3


def apply_load(target: Target, load: ClientLoad, *, seconds: float, warm_up: float, shared_memory: bool) -> Measured:
    """Apply a load for so many seconds after a warm-up.

    Raises:
        MeasurementError: If a request fails, or a process ends.
    """
    context = get_context("spawn")
    processes = min(load.processes, load.at_once)
    barrier, answers = context.Barrier(processes), context.Queue()
    shares = [load.at_once // processes + (number < load.at_once % processes) for number in range(processes)]
    clients = [
        context.Process(
            target=_client,
            args=(target, load.images, share),
            kwargs={
                "warm_up": warm_up,
                "seconds": seconds,
                "shared_memory": shared_memory,
                "barrier": barrier,
                "answers": answers,
            },
        )
        for share in shares
    ]
    for client in clients:
        client.start()
    try:
        durations: list[float] = []
        for _ in clients:
            answer = answers.get(timeout=_PATIENCE + warm_up + seconds)
            if isinstance(answer, str):
                raise MeasurementError(answer)
            durations += answer
    except Empty:
        raise MeasurementError("a client process did not end in time") from None
    finally:
        for client in clients:
            client.join(5)
            if client.is_alive():
                client.kill()
    if not durations:
        raise MeasurementError(f"no request was answered within {seconds:g} s")
    return Measured(load.images * len(durations) / seconds, durations)


def _client(
    target: Target,
    images: int,
    at_once: int,
    *,
    warm_up: float,
    seconds: float,
    shared_memory: bool,
    barrier: Any,
    answers: Any,
) -> None:
    """Send requests from one process, and put the durations of those that ended in time into the queue."""
    try:
        client: Any = triton.InferenceServerClient(target.url)
        batch = np.random.default_rng(os.getpid()).integers(0, 256, (images, *target.shape))
        batch = batch.astype(np.uint8 if target.datatype == "UINT8" else np.float32)
        with ExitStack() as stack:
            make = _regions(client, stack) if shared_memory else _messages
            requests = [make(target, batch, slot) for slot in range(at_once)]
            barrier.wait(_PATIENCE)
            answers.put(_send(client, target.model, requests, time.monotonic() + warm_up, seconds))
    except Exception as error:  # noqa: BLE001 - whatever its class, it is the reason
        barrier.abort()
        answers.put(f"{type(error).__name__}: {error}")


def _send(
    client: Any, model: str, requests: Sequence[tuple[list[Any], list[Any]]], begin: float, seconds: float
) -> list[float]:
    """Keep every request under way, and return the durations of those that ended within the time."""
    ended: SimpleQueue[tuple[int, Any]] = SimpleQueue()
    started = [0.0] * len(requests)
    durations = []

    def arrived(slot: int, result: Any, error: Any) -> None:
        ended.put((slot, error))

    def send(slot: int) -> None:
        inputs, outputs = requests[slot]
        started[slot] = time.monotonic()
        client.async_infer(model, inputs, partial(arrived, slot), outputs=outputs)

    for slot in range(len(requests)):
        send(slot)
    under_way = len(requests)
    while under_way:
        slot, error = ended.get(timeout=_PATIENCE)
        now = time.monotonic()
        under_way -= 1
        if error is not None:
            raise MeasurementError(str(error))
        if begin <= now < begin + seconds:
            durations.append(now - started[slot])
        if now < begin + seconds:
            send(slot)
            under_way += 1
    return durations


def _messages(target: Target, batch: Any, slot: int) -> tuple[list[Any], list[Any]]:
    """Return inputs and outputs of a request that contains them."""
    tensor = triton.InferInput("image", batch.shape, target.datatype)
    tensor.set_data_from_numpy(batch)
    return [tensor], [triton.InferRequestedOutput(name) for name, _, _ in target.outputs]


def _regions(client: Any, stack: ExitStack) -> Any:
    """Return the function that makes requests whose inputs and outputs are in shared memory."""

    def make(target: Target, batch: Any, slot: int) -> tuple[list[Any], list[Any]]:
        sizes = [values * _BYTES[datatype] * len(batch) for _, values, datatype in target.outputs]
        name = f"gpu-benchmark-{os.getpid()}-{slot}"
        stack.enter_context(_region(client, name, batch, sum(sizes)))
        tensor = triton.InferInput("image", batch.shape, target.datatype)
        tensor.set_shared_memory(name, batch.nbytes)
        outputs, offset = [], batch.nbytes
        for (output, _, _), size in zip(target.outputs, sizes, strict=True):
            outputs.append(triton.InferRequestedOutput(output))
            outputs[-1].set_shared_memory(name, size, offset)
            offset += size
        return [tensor], outputs

    return make


@contextmanager
def _region(client: Any, name: str, batch: Any, output_bytes: int) -> Iterator[None]:
    import tritonclient.utils.shared_memory as memory

    size = batch.nbytes + output_bytes
    region = memory.create_shared_memory_region(name, f"/{name}", size)
    try:
        memory.set_shared_memory_region(region, [batch])
        client.register_system_shared_memory(name, f"/{name}", size)
        yield
        _unregister(client, name)
    finally:
        memory.destroy_shared_memory_region(region)


def _unregister(client: Any, name: str) -> None:
    """Unregister a region, which Triton may use for a moment after its reply."""
    end = time.monotonic() + _LAST_USE
    while True:
        try:
            client.unregister_system_shared_memory(name)
        except InferenceServerException as error:
            if "in use" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return
