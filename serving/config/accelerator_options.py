"""The accelerators that can run a model, each with its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from camserve.errors import UsageError
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
    "CudaProvider",
    "GpuMath",
    "OpenVINO",
    "TensorRT",
    "TensorRTPrecision",
]

ConvolutionSearch = Literal["exhaustive", "heuristic", "default"]
ArenaStrategy = Literal["next-power-of-two", "same-as-requested"]
GpuMath = Literal["float32", "tf32", "unset"]
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


@dataclass(frozen=True, kw_only=True)
class CudaProvider(Accelerator):
    """The options of CUDA that the backend reads from the model's parameters."""

    cudnn_conv_algo_search: ConvolutionSearch | None = declare(
        None,
        Choice(get_args(ConvolutionSearch), codes=("0", "1", "2")),
        "How cuDNN selects convolution algorithms: exhaustive (the backend's default) measures all of them for each "
        "new batch size, heuristic uses cuDNN's model, default uses one algorithm.",
        parameters=("cudnn_conv_algo_search",),
    )
    gpu_mem_limit: int | None = declare(
        None,
        Size(),
        "GPU memory limit of the arena of one session, such as 2G; each fixed batch size has its own session.",
        parameters=("gpu_mem_limit",),
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


@dataclass(frozen=True, kw_only=True)
class CudaArithmetic(CudaProvider):
    """How CUDA computes, if nothing else, such as TensorRT, does."""

    gpu_math: GpuMath = declare(
        "float32",
        Choice(get_args(GpuMath), codes=("0", "1", "")),
        "Arithmetic of float32 models on GPUs: float32, tf32 (faster, differs by about 0.2 %) or unset (that of the "
        "backend; TF32 in NVIDIA's).",
        flag="--gpu-math",
        panel=_PANEL,
        parameters=("use_tf32",),
        stored_in="cuda",
    )
    prefer_nhwc: bool | None = declare(
        None,
        Switch(),
        "Convolutions in the layout NHWC (none: on with fixed batch sizes); planning one for another batch size takes "
        "seconds.",
        parameters=("prefer_nhwc",),
        stored_in="cuda",
    )
    fuse_conv_bias: bool | None = declare(
        None,
        Switch(),
        "Add the bias within the convolution (none: on with fixed batch sizes); requires prefer_nhwc.",
        parameters=("fuse_conv_bias",),
        stored_in="cuda",
    )
    cuda_graphs: bool | None = declare(
        None,
        Switch(),
        "Launch each fixed batch size as one CUDA graph (none: on); NVIDIA's backend ignores it.",
        parameters=("cuda_graphs",),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fuse_conv_bias and not self.prefer_nhwc:
            raise UsageError(
                "fuse_conv_bias requires prefer_nhwc: without it, CUDA fails at the first request",
                hint="Turn both on: --set prefer_nhwc=on --set fuse_conv_bias=on",
            )


@dataclass(frozen=True, kw_only=True)
class _Gpus(Accelerator):
    """The choice of GPUs."""

    gpus: tuple[int, ...] = declare(
        (),
        Integers(0, 255, unique=True),
        "GPUs that run the instances, for cuda and tensorrt (none: all).",
        flag="--gpus",
        panel=_PANEL,
    )


@documented
@dataclass(frozen=True, kw_only=True)
class Auto(CudaArithmetic):
    """CUDA on hosts with a GPU, the CPU elsewhere."""

    name = "auto"
    instance_kind = "KIND_AUTO"

    cpu_fallback: bool = declare(
        True,
        Switch(),
        "Run on the CPU, with a warning, if the host has a GPU but ONNX Runtime cannot use it; off refuses the model.",
        parameters=("cpu_fallback",),
    )


@documented
@dataclass(frozen=True, kw_only=True)
class Cuda(CudaArithmetic, _Gpus):
    """CUDA on GPUs."""

    name = "cuda"
    instance_kind = "KIND_GPU"


@documented
@dataclass(frozen=True, kw_only=True)
class TensorRT(CudaProvider, _Gpus):
    """TensorRT on GPUs; available in NVIDIA's container only."""

    name = "tensorrt"
    instance_kind = "KIND_GPU"

    precision: TensorRTPrecision = declare(
        "fp32",
        Choice(get_args(TensorRTPrecision), codes=("FP32", "FP16", "INT8")),
        "Precision of TensorRT: fp32, fp16 or int8 (for models exported as int8).",
        name="tensorrt_precision",
        flag="--tensorrt-precision",
        panel=_PANEL,
        parameters=("precision_mode",),
        stored_in="tensorrt",
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
        stored_in="tensorrt",
    )
    engine_cache: bool = declare(
        True,
        Switch(),
        "Keep built engines on disk; off builds them at each start, which takes minutes.",
        name="tensorrt_engine_cache",
        parameters=("trt_engine_cache_enable",),
        stored_in="tensorrt",
    )
    timing_cache: bool = declare(
        True,
        Switch(),
        "Keep kernel timings on disk, so that the engine of a new version builds faster.",
        name="tensorrt_timing_cache",
        parameters=("trt_timing_cache_enable",),
        stored_in="tensorrt",
    )
    cache_path: str = declare(
        "/var/cache/camserve",
        ServerPath(),
        "Folder of both caches on the server; only the server must be able to write to it.",
        name="tensorrt_cache_path",
        parameters=("trt_engine_cache_path", "trt_timing_cache_path"),
        stored_in="tensorrt",
    )


ACCELERATORS: Mapping[str, type[Accelerator]] = {each.name: each for each in (Auto, Cpu, Cuda, TensorRT, OpenVINO)}
"""By the name that the option `accelerator` gives them."""
