"""How a model is to be served: the choices that its publisher has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from camserve.errors import UsageError

__all__ = ["Accelerator", "ServingOptions"]

Accelerator = Literal["auto", "none", "cuda", "tensorrt", "openvino"]


@dataclass(frozen=True, kw_only=True)
class ServingOptions:
    """Options of a published model.

    Attributes:
        max_batch_size: Largest batch that Triton accepts and builds.
        max_queue_delay_us: How long a request may wait for others to join its batch, in microseconds; 0 builds batches
            only of requests that wait anyway because every instance is busy.
        instances: Copies of the model that run side by side, on each device.
        threads: Threads that one instance uses inside an operator; None leaves it to ONNX Runtime, which takes all
            cores.
        accelerator: `auto` runs on GPUs where the host has any and on the CPU elsewhere; `none` is the CPU alone;
            `cuda` and `tensorrt` want a GPU; `openvino` is an accelerator of CPUs. The last two exist only in
            NVIDIA's container.
        warmup: Run a batch of one and the largest batch before the model counts as ready.
        latest_versions: How many of the highest versions are served at once.

    Raises:
        UsageError: If a value is out of range.
    """

    max_batch_size: int = 8
    max_queue_delay_us: int = 100
    instances: int = 1
    threads: int | None = None
    accelerator: Accelerator = "auto"
    warmup: bool = True
    latest_versions: int = 1

    def __post_init__(self) -> None:
        _in_range("max_batch_size", self.max_batch_size, 1, 4096)
        _in_range("max_queue_delay_us", self.max_queue_delay_us, 0, 10_000_000)
        _in_range("instances", self.instances, 1, 256)
        _in_range("latest_versions", self.latest_versions, 1, 256)
        if self.threads is not None:
            _in_range("threads", self.threads, 1, 1024)
        if self.accelerator not in get_args(Accelerator):
            choices = ", ".join(get_args(Accelerator))
            raise UsageError(f"there is no accelerator {self.accelerator!r}", hint=f"Choose one of {choices}")


def _in_range(name: str, value: int, lowest: int, highest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name} must be a whole number and is {value!r}")
    if not lowest <= value <= highest:
        raise UsageError(f"{name} must be from {lowest} to {highest} and is {value}")
