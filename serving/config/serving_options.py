"""How a model is to be served: the choices that its publisher has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from camserve.serving.config.checks import check_options
from camserve.serving.config.choices import (
    Accelerator,
    ArenaStrategy,
    ConvolutionSearch,
    QueueAction,
    TensorRTPrecision,
)

__all__ = ["Accelerator", "Resource", "ServingOptions", "Versions"]

Versions = Literal["latest", "all"] | tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Resource:
    """Something that an instance holds while it runs a batch, so that no more run at once than there is of it.

    Attributes:
        name: Any name; models that name the same resource share it.
        count: How much of it one instance holds.
        shared: Whether the devices share one pool of it; otherwise each device has its own.
    """

    name: str
    count: int = 1
    shared: bool = False


@dataclass(frozen=True, kw_only=True)
class ServingOptions:
    """Options of a published model.

    Attributes:
        max_batch_size: Largest batch that Triton accepts and builds.
        max_queue_delay_us: How long a request may wait for others to join its batch, in microseconds; 0 builds batches
            only of requests that wait anyway because every instance is busy.
        preferred_batch_sizes: Batch sizes that are sent off without waiting longer. Only for models that are fast at
            these sizes alone; otherwise they hold batches smaller than the hardware allows.
        max_queue_size: Requests that may wait; further ones are answered UNAVAILABLE at once. 0 means without bound: a
            bound, a time-out or priorities make Triton's batcher miss requests for up to half a second
            (`benchmarks/pauses.py`).
        queue_timeout_us: How long a request may wait before `queue_timeout_action`, in microseconds; 0 for ever.
        queue_timeout_action: `reject` answers it with an error, `continue` lets it wait behind all others.
        queue_timeout_override: Whether a request may bring a shorter time-out of its own.
        priority_levels: Number of priorities that requests may name, 1 is served first; 0 for none.
        default_priority: Priority of requests that name none.
        instances: Copies of the model that run side by side, on each device.
        accelerator: `auto` runs on GPUs where the host has any and on the CPU elsewhere; `none` is the CPU alone;
            `cuda` and `tensorrt` want a GPU; `openvino` is an accelerator of CPUs. The last two exist only in
            NVIDIA's container.
        gpus: Numbers of the GPUs that each hold `instances` copies; all of them unless given.
        threads: Threads that one instance uses inside an operator; None leaves it to the backend, which takes all
            cores.
        inter_threads: Threads that run branches of the graph side by side; None runs one operator after another.
        cudnn_conv_algo_search: How cuDNN chooses convolutions: `exhaustive` (the backend's default) tries them all
            for each batch size that it meets first, `heuristic` asks cuDNN's model, `default` takes one for all.
        gpu_mem_limit: Bytes of GPU memory that one instance's arena may take.
        arena_extend_strategy: How the arena grows: `next-power-of-two` or `same-as-requested`.
        do_copy_in_default_stream: Whether copies share the stream of the computation.
        tensorrt_precision: Arithmetic that TensorRT may use; `int8` for models that were exported as int8.
        tensorrt_opt_batch_size: Batch size that TensorRT tunes its engine for; None is the largest.
        tensorrt_workspace: Bytes that TensorRT may use as scratch memory.
        tensorrt_engine_cache: Keep built engines on disk, so that only the first start takes minutes.
        tensorrt_timing_cache: Keep measured times of kernels on disk, so that a new version's engine is built faster.
        tensorrt_cache_path: Folder of both on the server; nobody but the server should be able to write to it.
        warmup: Run a batch of one, the largest batch and the one that TensorRT tunes for before the model is ready.
        response_cache: Answer repeated images from memory; works where Triton runs with `--cache-config`.
        versions: `latest` serves the highest `latest_versions`, `all` serves all, and numbers serve just these.
        latest_versions: How many of the highest versions are served at once.
        rate_limiter_resources: What an instance holds while it runs, where Triton runs with `--rate-limit`.
        rate_limiter_priority: Weight among models that wait for resources: 2 runs half as often as 1.

    Raises:
        UsageError: If a value is out of range, or two contradict each other.
    """

    max_batch_size: int = 8
    max_queue_delay_us: int = 100
    preferred_batch_sizes: tuple[int, ...] = ()
    max_queue_size: int = 0
    queue_timeout_us: int = 0
    queue_timeout_action: QueueAction = "reject"
    queue_timeout_override: bool = False
    priority_levels: int = 0
    default_priority: int = 0
    instances: int = 1
    accelerator: Accelerator = "auto"
    gpus: tuple[int, ...] = ()
    threads: int | None = None
    inter_threads: int | None = None
    cudnn_conv_algo_search: ConvolutionSearch | None = None
    gpu_mem_limit: int | None = None
    arena_extend_strategy: ArenaStrategy | None = None
    do_copy_in_default_stream: bool | None = None
    tensorrt_precision: TensorRTPrecision = "fp32"
    tensorrt_opt_batch_size: int | None = None
    tensorrt_workspace: int | None = None
    tensorrt_engine_cache: bool = True
    tensorrt_timing_cache: bool = True
    tensorrt_cache_path: str = "/var/cache/camserve"
    warmup: bool = True
    response_cache: bool = False
    versions: Versions = "latest"
    latest_versions: int = 1
    rate_limiter_resources: tuple[Resource, ...] = ()
    rate_limiter_priority: int = 1

    def __post_init__(self) -> None:
        for name in ("preferred_batch_sizes", "gpus", "versions", "rate_limiter_resources"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.tensorrt_opt_batch_size == self.max_batch_size:
            # One way to say it, so that what is read back out of a configuration is equal.
            object.__setattr__(self, "tensorrt_opt_batch_size", None)
        check_options(self)
