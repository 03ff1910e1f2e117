"""The accelerators that can run a model, each with its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from camserve.serving.config.option import check_fields, declare, documented
from camserve.serving.config.option_kinds import Choice, Integer, Integers, ServerPath, Size, Switch

__all__ = [
    "ACCELERATORS",
    "Accelerator",
    "ArenaStrategy",
    "Auto",
    "ConvolutionSearch",
    "Cpu",
    "Cuda",
    "OpenVINO",
    "TensorRT",
    "TensorRTPrecision",
]

ConvolutionSearch = Literal["exhaustive", "heuristic", "default"]
ArenaStrategy = Literal["next-power-of-two", "same-as-requested"]
TensorRTPrecision = Literal["fp32", "fp16", "int8"]

_PANEL = "Accelerator"


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """What runs a model; one of `Auto`, `Cpu`, `Cuda`, `TensorRT` and `OpenVINO`.

    Raises:
        UsageError: If an option is invalid.
    """

    name: ClassVar[str]
    instance_kind: ClassVar[str]

    def __post_init__(self) -> None:
        check_fields(self)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, kw_only=True)
class Cpu(Accelerator):
    """The CPU."""

    name = "none"
    instance_kind = "KIND_CPU"


@dataclass(frozen=True, kw_only=True)
class OpenVINO(Accelerator):
    """OpenVINO on the CPU; available in NVIDIA's container only."""

    name = "openvino"
    instance_kind = "KIND_CPU"


@documented
@dataclass(frozen=True, kw_only=True)
class Auto(Accelerator):
    """CUDA on hosts with a GPU, the CPU elsewhere."""

    name = "auto"
    instance_kind = "KIND_AUTO"

    cudnn_conv_algo_search: ConvolutionSearch | None = declare(
        None,
        Choice(get_args(ConvolutionSearch), codes=("0", "1", "2")),
        "How cuDNN selects convolution algorithms: exhaustive (the backend's default) measures all of them for each "
        "new batch size, heuristic uses cuDNN's model, default uses one algorithm.",
        parameters=("cudnn_conv_algo_search",),
    )
    gpu_mem_limit: int | None = declare(
        None, Size(), "GPU memory limit of one instance's arena, such as 8G.", parameters=("gpu_mem_limit",)
    )
    arena_extend_strategy: ArenaStrategy | None = declare(
        None,
        Choice(get_args(ArenaStrategy), codes=("0", "1")),
        "How that arena grows: next-power-of-two or same-as-requested.",
        parameters=("arena_extend_strategy",),
    )
    do_copy_in_default_stream: bool | None = declare(
        None,
        Switch(),
        "Copy in the stream of the computation; off lets copies overlap it.",
        parameters=("do_copy_in_default_stream",),
    )


@documented
@dataclass(frozen=True, kw_only=True)
class Cuda(Auto):
    """CUDA on GPUs."""

    name = "cuda"
    instance_kind = "KIND_GPU"

    gpus: tuple[int, ...] = declare(
        (),
        Integers(0, 255, unique=True),
        "GPUs that run the instances, for cuda and tensorrt (none: all).",
        flag="--gpus",
        panel=_PANEL,
    )


@documented
@dataclass(frozen=True, kw_only=True)
class TensorRT(Cuda):
    """TensorRT on GPUs; available in NVIDIA's container only."""

    name = "tensorrt"

    precision: TensorRTPrecision = declare(
        "fp32",
        Choice(get_args(TensorRTPrecision), codes=("FP32", "FP16", "INT8")),
        "Precision of TensorRT: fp32, fp16 or int8 (for models exported as int8).",
        name="tensorrt_precision",
        flag="--tensorrt-precision",
        panel=_PANEL,
        parameters=("precision_mode",),
    )
    opt_batch_size: int | None = declare(
        None,
        Integer(1, 4096),
        "Batch size that the engine is optimized for (none: the largest).",
        name="tensorrt_opt_batch_size",
    )
    workspace: int | None = declare(
        None,
        Size(example="4G"),
        "Scratch memory limit of TensorRT, such as 4G.",
        name="tensorrt_workspace",
        parameters=("max_workspace_size_bytes",),
    )
    engine_cache: bool = declare(
        True,
        Switch(),
        "Keep built engines on disk; off builds them at each start, which takes minutes.",
        name="tensorrt_engine_cache",
        parameters=("trt_engine_cache_enable",),
    )
    timing_cache: bool = declare(
        True,
        Switch(),
        "Keep kernel timings on disk, so that the engine of a new version builds faster.",
        name="tensorrt_timing_cache",
        parameters=("trt_timing_cache_enable",),
    )
    cache_path: str = declare(
        "/var/cache/camserve",
        ServerPath(),
        "Folder of both caches on the server; only the server must be able to write to it.",
        name="tensorrt_cache_path",
        parameters=("trt_engine_cache_path", "trt_timing_cache_path"),
    )


ACCELERATORS: Mapping[str, type[Accelerator]] = {each.name: each for each in (Auto, Cpu, Cuda, TensorRT, OpenVINO)}
"""By the name that the option `accelerator` gives them."""
