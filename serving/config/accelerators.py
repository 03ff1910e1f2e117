"""The part of a model configuration about execution accelerators.

Names and values are those that Triton's ONNX Runtime backend reads.

CUDA's options stand among the model's parameters: the backend reads these four there, and sets them back to their
defaults where they stand under `execution_accelerators`. TensorRT's stand under `execution_accelerators`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from camserve.contract import TensorSpec
from camserve.serving.config.instances import read_parameter
from camserve.serving.config.serving_options import ServingOptions

__all__ = [
    "CUDA_PARAMETERS",
    "ENGINE_CACHE",
    "ENGINE_PREFIX",
    "name_engines",
    "profile_sizes",
    "read_accelerators",
    "tensorrt_accelerator",
    "write_accelerators",
]

ENGINE_CACHE = "trt_engine_cache_enable"
ENGINE_PREFIX = "trt_engine_cache_prefix"
_ENGINE_PATH = "trt_engine_cache_path"
_TIMING_CACHE = "trt_timing_cache_enable"
_TIMING_PATH = "trt_timing_cache_path"
_PRECISION = "precision_mode"
_WORKSPACE = "max_workspace_size_bytes"
_PROFILE = "trt_profile_{}_shapes"  # its value, for example: image:8x224x224x3

_SEARCH: Mapping[str, str] = {"exhaustive": "0", "heuristic": "1", "default": "2"}
_ARENA: Mapping[str, str] = {"next-power-of-two": "0", "same-as-requested": "1"}
_SWITCH: Mapping[bool, str] = {False: "0", True: "1"}
CUDA_PARAMETERS = ("cudnn_conv_algo_search", "gpu_mem_limit", "arena_extend_strategy", "do_copy_in_default_stream")
"""Options of CUDA that the backend reads among the model's parameters alone."""


def write_accelerators(config: Any, options: ServingOptions, image: TensorSpec) -> None:
    """Writes the options into the message, all but the prefix of the engine cache."""
    accelerators = config.optimization.execution_accelerators
    if options.accelerator == "openvino":
        accelerators.cpu_execution_accelerator.add(name="openvino")
    if options.accelerator == "tensorrt":
        accelerators.gpu_execution_accelerator.add(name="tensorrt", parameters=_tensorrt(options, image))
    for name, value in _cuda(options).items():
        config.parameters[name].string_value = value


def name_engines(config: Any, model: str, digest: str) -> None:
    """Has the names of TensorRT's engines, where there are any, begin with the model's name and its weights' hash.

    ONNX Runtime names an engine by the names in the graph alone, so that two models of one architecture, or two
    versions of one model, would take each other's engine, and with it the other's weights.
    """
    accelerator = tensorrt_accelerator(config)
    if accelerator is not None:
        accelerator.parameters[ENGINE_PREFIX] = f"{model}-{digest[:16]}"


def tensorrt_accelerator(config: Any) -> Any | None:
    """The TensorRT accelerator of a configuration, or None."""
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    return next((each for each in accelerators if each.name == "tensorrt"), None)


def profile_sizes(parameters: Mapping[str, str]) -> dict[str, int]:
    """The batch sizes that TensorRT's engine is built for, by `min`, `opt` and `max`; what is not given is left out."""
    shapes = {bound: parameters.get(_PROFILE.format(bound), "") for bound in ("min", "opt", "max")}
    sizes = {bound: shape.partition(":")[2].partition("x")[0] for bound, shape in shapes.items()}
    return {bound: int(size) for bound, size in sizes.items() if size.isdecimal()}


def read_accelerators(config: Any) -> dict[str, Any]:
    """The options by which `write_accelerators` wrote the message."""
    accelerator = tensorrt_accelerator(config)
    return {**_read_cuda(config), **(_read_tensorrt(accelerator.parameters) if accelerator is not None else {})}


def _tensorrt(options: ServingOptions, image: TensorSpec) -> dict[str, str]:
    # Without a profile of the whole range TensorRT builds a new engine for every batch size that it meets.
    sizes = {
        "min": 1,
        "opt": options.tensorrt_opt_batch_size or options.max_batch_size,
        "max": options.max_batch_size,
    }
    shape = "x".join(str(side) for side in image.shape)
    parameters = {_PROFILE.format(which): f"{image.name}:{size}x{shape}" for which, size in sizes.items()}
    parameters[_PRECISION] = options.tensorrt_precision.upper()
    parameters[ENGINE_CACHE] = _SWITCH[options.tensorrt_engine_cache]
    parameters[_TIMING_CACHE] = _SWITCH[options.tensorrt_timing_cache]
    parameters[_ENGINE_PATH] = parameters[_TIMING_PATH] = options.tensorrt_cache_path
    if options.tensorrt_workspace is not None:
        parameters[_WORKSPACE] = str(options.tensorrt_workspace)
    return parameters


def _read_tensorrt(parameters: Mapping[str, str]) -> dict[str, Any]:
    precision = parameters.get(_PRECISION, "FP32").lower()
    sizes = profile_sizes(parameters)
    read: dict[str, Any] = {
        "tensorrt_precision": precision,
        "tensorrt_opt_batch_size": None if sizes.get("opt") == sizes.get("max") else sizes.get("opt"),
        "tensorrt_workspace": _number(parameters.get(_WORKSPACE, "")),
        "tensorrt_engine_cache": parameters.get(ENGINE_CACHE, "").lower() in ("1", "true"),
        "tensorrt_timing_cache": parameters.get(_TIMING_CACHE, "").lower() in ("1", "true"),
    }
    path = parameters.get(_ENGINE_PATH) or parameters.get(_TIMING_PATH)
    return {**read, "tensorrt_cache_path": path} if path else read


def _cuda(options: ServingOptions) -> dict[str, str]:
    given = {name: getattr(options, name) for name in CUDA_PARAMETERS}
    names: Mapping[str, Mapping[Any, str]] = {
        "cudnn_conv_algo_search": _SEARCH,
        "arena_extend_strategy": _ARENA,
        "do_copy_in_default_stream": _SWITCH,
    }
    return {name: names.get(name, {}).get(value, str(value)) for name, value in given.items() if value is not None}


def _read_cuda(config: Any) -> dict[str, Any]:
    search, limit, arena, copies = (read_parameter(config, name) for name in CUDA_PARAMETERS)
    return {
        "cudnn_conv_algo_search": _named(_SEARCH, search),
        "gpu_mem_limit": _number(limit),
        "arena_extend_strategy": _named(_ARENA, arena),
        "do_copy_in_default_stream": _named(_SWITCH, copies),
    }


def _named(names: Mapping[Any, str], written: str) -> Any:
    return next((name for name, value in names.items() if value == written), None)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
