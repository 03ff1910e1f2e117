"""The part of a model configuration about execution accelerators, written from options and read back.

Triton's ONNX Runtime backend reads CUDA's options from the model's parameters, and resets them to their defaults if
they are under `execution_accelerators`. It reads TensorRT's from `execution_accelerators`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from camserve.contract import TensorSpec
from camserve.serving.config.accelerator_options import Auto, Cuda, OpenVINO, TensorRT
from camserve.serving.config.option import Option, declared
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

_CUDA = declared(Cuda)
_TENSORRT = {field: option for field, option in declared(TensorRT).items() if field not in _CUDA}

CUDA_PARAMETERS = tuple(parameter for option in declared(Auto).values() for parameter in option.parameters)
"""CUDA's options, which the backend reads from the model's parameters only."""

(ENGINE_CACHE,) = _TENSORRT["engine_cache"].parameters
ENGINE_PREFIX = "trt_engine_cache_prefix"
_PROFILE = "trt_profile_{}_shapes"  # for example: image:8x224x224x3


def write_accelerators(config: Any, options: ServingOptions, image: TensorSpec) -> None:
    """Write the options into the message, except the prefix of the engine cache."""
    accelerator, accelerators = options.accelerator, config.optimization.execution_accelerators
    for name, value in _encoded(accelerator, _CUDA).items():
        config.parameters[name].string_value = value
    if isinstance(accelerator, OpenVINO):
        accelerators.cpu_execution_accelerator.add(name=accelerator.name)
    if isinstance(accelerator, TensorRT):
        parameters = {
            **_profile(image, options.max_batch_size, accelerator.opt_batch_size),
            **_encoded(accelerator, _TENSORRT),
        }
        accelerators.gpu_execution_accelerator.add(name=accelerator.name, parameters=parameters)


def name_engines(config: Any, model: str, digest: str) -> None:
    """Prefix the names of TensorRT's engines, if the model has any, with its name and the checksum of its weights.

    ONNX Runtime derives the name of an engine from the names in the graph only. Without a prefix, two models of one
    architecture or two versions of one model would load each other's engine, and with it the other's weights.
    """
    accelerator = tensorrt_accelerator(config)
    if accelerator is not None:
        accelerator.parameters[ENGINE_PREFIX] = f"{model}-{digest[:16]}"


def tensorrt_accelerator(config: Any) -> Any | None:
    """Return the TensorRT accelerator of a configuration, or None."""
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    return next((each for each in accelerators if each.name == "tensorrt"), None)


def profile_sizes(parameters: Mapping[str, str]) -> dict[str, int]:
    """Return the batch sizes of TensorRT's profile by `min`, `opt` and `max`, without those that are missing."""
    shapes = {which: parameters.get(_PROFILE.format(which), "") for which in ("min", "opt", "max")}
    sizes = {which: shape.partition(":")[2].partition("x")[0] for which, shape in shapes.items()}
    return {which: int(size) for which, size in sizes.items() if size.isdecimal()}


def read_accelerators(config: Any) -> dict[str, Any]:
    """Return the options that `write_accelerators` wrote, by name."""
    parameters = {name: config.parameters[name].string_value for name in CUDA_PARAMETERS if name in config.parameters}
    values = _decoded(parameters, _CUDA)
    accelerator = tensorrt_accelerator(config)
    if accelerator is None:
        return values
    sizes = profile_sizes(accelerator.parameters)
    optimized = None if sizes.get("opt") == sizes.get("max") else sizes.get("opt")
    return {**values, **_decoded(accelerator.parameters, _TENSORRT), _TENSORRT["opt_batch_size"].name: optimized}


def _profile(image: TensorSpec, largest: int, optimized: int | None) -> dict[str, str]:
    # Without a profile of the whole range TensorRT builds a new engine for every new batch size.
    sizes = {"min": 1, "opt": optimized or largest, "max": largest}
    shape = "x".join(str(side) for side in image.shape)
    return {_PROFILE.format(which): f"{image.name}:{size}x{shape}" for which, size in sizes.items()}


def _encoded(accelerator: Any, options: Mapping[str, Option]) -> dict[str, str]:
    values = {field: getattr(accelerator, field, None) for field in options}
    return {
        parameter: option.kind.encode(values[field])
        for field, option in options.items()
        for parameter in option.parameters
        if values[field] is not None
    }


def _decoded(parameters: Mapping[str, str], options: Mapping[str, Option]) -> dict[str, Any]:
    return {option.name: option.decode(parameters) for option in options.values() if option.parameters}
