"""Rules about models on CUDA, without TensorRT.

The measured values are those of a ResNet50 on one H100, with ONNX Runtime 1.31.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tritonclient.grpc import model_config_pb2

from camserve.serving.config.accelerators import CUDA_PARAMETERS, gpu_accelerator, tensorrt_accelerator
from camserve.serving.config.fixed_sizes import complete_sizes
from camserve.serving.config.instances import read_parameter
from camserve.serving.repository.lint.findings import ModelFolder, Note, error, warning
from camserve.serving.repository.lint.targets import Target
from camserve.text import suggest

__all__ = [
    "cuda_graph_option",
    "cuda_option_misplaced",
    "free_batch_sizes",
    "fuse_conv_bias_alone",
    "int8_without_tensorrt",
    "tf32_arithmetic",
    "unsupported_cuda_option",
    "unsupported_nhwc",
]

_PUBLISH = "camserve publish BUNDLE_DIR --repository DIR"
_ANY_GPU = (model_config_pb2.ModelInstanceGroup.KIND_GPU, model_config_pb2.ModelInstanceGroup.KIND_AUTO)
_ONLY_GPU = _ANY_GPU[:1]
_SIZES = (1, 8, 32)
_HEURISTIC = "1"

_SINCE: Mapping[str, str] = {"use_tf32": "1.18", "sdpa_kernel": "1.19", "fuse_conv_bias": "1.20"}
"""The ONNX Runtime in whose CUDA provider an option appeared, by the names in the wheels of 1.17.1 to 1.20.0."""

_REMOVED_BY: Mapping[str, str] = {
    "use_tf32": "--gpu-math unset",
    "prefer_nhwc": "--set prefer_nhwc=none",
    "fuse_conv_bias": "--set fuse_conv_bias=none",
}
"""What removes an option that camserve writes into the accelerator."""

_FIRST_WITH_NHWC = "1.21"
"""Older ones refuse `prefer_nhwc`, unless they were built for it, which neither wheels nor Triton's own build are."""

_OPTIONS = frozenset(
    [
        *CUDA_PARAMETERS,
        *_SINCE,
        "cudnn_conv1d_pad_to_nc1d",
        "cudnn_conv_use_max_workspace",
        "device_id",
        "enable_cuda_graph",
        "enable_skip_layer_norm_strict_mode",
        "gpu_external_alloc",
        "gpu_external_empty_cache",
        "gpu_external_free",
        "has_user_compute_stream",
        "prefer_nhwc",
        "tunable_op_enable",
        "tunable_op_max_tuning_duration_ms",
        "tunable_op_tuning_enable",
        "use_ep_level_unified_stream",
        "user_compute_stream",
    ]
)
"""The options of ONNX Runtime's CUDA provider, which refuses any other."""


def cuda_option_misplaced(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """The backend resets these options to their defaults after it has read the accelerator."""
    for name in sorted(set(_options(model.config)) & set(CUDA_PARAMETERS)):
        yield error(
            f"{name} has no effect under execution_accelerators: the backend resets it to its default",
            f"Set it as a parameter of the model: {_PUBLISH} --set {name}=VALUE",
        )


def unsupported_cuda_option(model: ModelFolder, target: Target) -> Iterator[Note]:
    """ONNX Runtime does not create the CUDA provider with an option that it does not know."""
    options = _options(model.config)
    if not options or not _runs_on_cuda(model, _ANY_GPU):
        return
    if not target.has_cuda_options:
        yield error(
            f"the accelerator cuda ({', '.join(sorted(options))}) requires Triton 24.07: on a GPU, Triton "
            f"{target.release} may not load the model",
            f"Use a newer Triton, or {_removal(options)}",
        )
        return
    for name in sorted(options):
        if name not in _OPTIONS:
            yield warning(
                f"unknown CUDA option {name!r}: ONNX Runtime does not load a model with an option that it does not "
                "know",
                suggest(name, _OPTIONS) or "Remove it from config.pbtxt, or check its name in the documentation",
            )
        elif not target.has_onnxruntime(_SINCE.get(name, "1.17")):
            yield error(
                f"{name} requires ONNX Runtime {_SINCE[name]}, Triton {target.release} has {target.onnxruntime}: the "
                "model will not load",
                f"Use a newer Triton, or {_removal([name])}",
            )


def unsupported_nhwc(model: ModelFolder, target: Target) -> Iterator[Note]:
    """ONNX Runtime does not create the CUDA provider with a layout that it was built without."""
    requested = _is_on(_options(model.config), "prefer_nhwc") and _runs_on_cuda(model, _ANY_GPU)
    if requested and target.has_cuda_options and not target.has_onnxruntime(_FIRST_WITH_NHWC):
        yield error(
            f"prefer_nhwc requires ONNX Runtime {_FIRST_WITH_NHWC}, Triton {target.release} has {target.onnxruntime}, "
            "which is built without it: on a GPU, the model will not load",
            f"Use a newer Triton, or remove it: {_PUBLISH} --set prefer_nhwc=none --set fuse_conv_bias=none",
        )


def free_batch_sizes(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """ONNX Runtime keeps the plan of a convolution for one shape only."""
    config = model.config
    sizes = read_parameter(config, "batch_sizes")
    if config.max_batch_size < 2 or sizes not in ("", "none") or not _runs_on_cuda(model, _ONLY_GPU):
        return
    where = "" if sizes else " in Triton's C++ backend"
    fixed = complete_sizes(tuple(size for size in _SIZES if size <= config.max_batch_size), config.max_batch_size)
    yield warning(
        f"batches have any size{where}: on CUDA, each change of the size plans every convolution again, for "
        f"{_planning_time(config)} on an H100",
        f"Fix the sizes, for camserve's backend: {_PUBLISH} --set batch_sizes={','.join(map(str, fixed))}; Triton's "
        "C++ backend ignores them: replace it with camserve repository backend --out DIR, or use --preset tensorrt",
    )


def int8_without_tensorrt(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """CUDA runs the quantized operators one by one, in float32 between them."""
    if not _runs_on_cuda(model, _ONLY_GPU) or not any(each.quantized for each in model.onnx.values()):
        return
    hint = (
        f"Use TensorRT: {_PUBLISH} --preset tensorrt; or fp16: "
        "camserve export SOURCE --out BUNDLE_DIR --precision fp16 --publish DIR"
    )
    if _is_on(_options(model.config), "prefer_nhwc"):
        yield error("int8 with prefer_nhwc fails on CUDA at the first request", hint)
    else:
        yield warning(
            "int8 on CUDA, without TensorRT, is slower than fp16 (4,238 against 8,265 images per second on an H100) "
            "and less accurate than on a CPU (logits differ by 7 %)",
            hint,
        )


def fuse_conv_bias_alone(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """Only convolutions in the layout NHWC can add their bias."""
    options = _options(model.config)
    if _is_on(options, "fuse_conv_bias") and not _is_on(options, "prefer_nhwc"):
        yield error(
            "fuse_conv_bias without prefer_nhwc fails on CUDA at the first request",
            f"Turn both on: {_PUBLISH} --set prefer_nhwc=on --set fuse_conv_bias=on",
        )


def cuda_graph_option(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """A CUDA graph repeats its operations at the same addresses of memory."""
    if _is_on(_options(model.config), "enable_cuda_graph"):
        yield error(
            "enable_cuda_graph requires inputs and outputs in fixed memory, which Triton's C++ backend does not use",
            f"Remove it from config.pbtxt; for camserve's backend, use {_PUBLISH} --set cuda_graphs=on",
        )


def tf32_arithmetic(model: ModelFolder, target: Target) -> Iterator[Note]:
    """GPUs since Ampere round the factors of float32 products to 10 bits, if the program permits it."""
    if not _runs_on_cuda(model, _ANY_GPU) or _is_off(_options(model.config), "use_tf32"):
        return
    if any(each.half or each.quantized for each in model.onnx.values()) or not model.onnx:
        return
    fix = f"{_PUBLISH} --gpu-math float32"
    yield warning(
        "float32 is computed in TF32 on GPUs: logits differ by 1.1e-3 on an H100, eleven times the tolerance of an "
        "export; in float32 by 9e-7, at 0.3 to 0.6 of the speed",
        f"Compute in float32: {fix}" if target.has_cuda_options else f"Use Triton 24.07 or newer, and {fix}",
    )


def _runs_on_cuda(model: ModelFolder, kinds: tuple[int, ...]) -> bool:
    if not model.runs_onnx or tensorrt_accelerator(model.config) is not None:
        return False
    return any(group.kind in kinds for group in model.config.instance_group)


def _options(config: Any) -> Mapping[str, str]:
    accelerator = gpu_accelerator(config, "cuda")
    return {} if accelerator is None else dict(accelerator.parameters)


def _removal(names: Iterable[str]) -> str:
    """Return how to remove options of the accelerator: with a command where camserve has one for each."""
    flags = sorted(_REMOVED_BY.get(name, "") for name in names)
    return f"remove it: {_PUBLISH} {' '.join(flags)}" if all(flags) else "remove it from config.pbtxt"


def _is_on(options: Mapping[str, str], name: str) -> bool:
    return options.get(name, "").lower() in ("1", "true")


def _is_off(options: Mapping[str, str], name: str) -> bool:
    return options.get(name, "").lower() in ("0", "false")


def _planning_time(config: Any) -> str:
    options = _options(config)
    if _is_on(options, "prefer_nhwc") or _is_on(options, "fuse_conv_bias"):
        return "2 to 7 s"
    heuristic = read_parameter(config, "cudnn_conv_algo_search") == _HEURISTIC
    return "0.15 to 0.2 s" if heuristic else "0.15 to 1.3 s"
