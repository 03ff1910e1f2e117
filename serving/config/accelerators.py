"""The part of a model configuration about execution accelerators, written from options and read back.

Triton's ONNX Runtime backend reads TensorRT's options from `execution_accelerators`, and so those of ONNX Runtime's
CUDA provider, except four: these it reads from the model's parameters, and resets them to their defaults if they are
under `execution_accelerators`. The TensorFlow backend has no accelerator for CUDA.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from camserve.contract import TensorSpec
from camserve.serving.config.accelerator_options import ACCELERATORS, CudaProvider, OpenVINO, TensorRT
from camserve.serving.config.backends import backend_of
from camserve.serving.config.option import Option, declared
from camserve.serving.config.serving_options import ServingOptions

__all__ = [
    "CUDA_PARAMETERS",
    "ENGINE_CACHE",
    "ENGINE_PREFIX",
    "gpu_accelerator",
    "name_engines",
    "profile_sizes",
    "read_accelerators",
    "tensorrt_accelerator",
    "write_accelerators",
]

CUDA_PARAMETERS = tuple(parameter for option in declared(CudaProvider).values() for parameter in option.parameters)
"""CUDA's options, which the backend reads from the model's parameters only."""

(ENGINE_CACHE,) = declared(TensorRT)["engine_cache"].parameters
ENGINE_PREFIX = "trt_engine_cache_prefix"
_PROFILE = "trt_profile_{}_shapes"  # for example: image:8x224x224x3
_BOOLEANS = {"true": "1", "false": "0"}
"""Further values of ONNX Runtime's options."""


def write_accelerators(config: Any, options: ServingOptions, image: TensorSpec) -> None:
    """Write the options into the message, except the prefix of the engine cache."""
    accelerator, accelerators = options.accelerator, config.optimization.execution_accelerators
    if isinstance(accelerator, OpenVINO):
        accelerators.cpu_execution_accelerator.add(name=accelerator.name)
    if isinstance(accelerator, TensorRT):
        profile = _profile(image, options.max_batch_size, accelerator.opt_batch_size)
        accelerators.gpu_execution_accelerator.add(name=accelerator.name, parameters=profile)
    for field, option in declared(accelerator).items():
        value = getattr(accelerator, field)
        text = "" if value is None else option.kind.encode(value)
        for name in option.parameters if text else ():
            _store(config, _place(config, option), name, text)


def name_engines(config: Any, model: str, digest: str) -> None:
    """Prefix the names of TensorRT's engines, if the model has any, with its name and the checksum of its weights.

    ONNX Runtime derives the name of an engine from the names in the graph only. Without a prefix, two models of one
    architecture or two versions of one model would load each other's engine, and with it the other's weights.
    """
    accelerator = tensorrt_accelerator(config)
    if accelerator is not None:
        accelerator.parameters[ENGINE_PREFIX] = f"{model}-{digest[:16]}"


def gpu_accelerator(config: Any, name: str) -> Any | None:
    """Return the GPU accelerator of a configuration with this name, or None."""
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    return next((each for each in accelerators if each.name == name), None)


def tensorrt_accelerator(config: Any) -> Any | None:
    """Return the TensorRT accelerator of a configuration, or None."""
    return gpu_accelerator(config, TensorRT.name)


def profile_sizes(parameters: Mapping[str, str]) -> dict[str, int]:
    """Return the batch sizes of TensorRT's profile by `min`, `opt` and `max`, without those that are missing."""
    shapes = {which: parameters.get(_PROFILE.format(which), "") for which in ("min", "opt", "max")}
    sizes = {which: shape.partition(":")[2].partition("x")[0] for which, shape in shapes.items()}
    return {which: int(size) for which, size in sizes.items() if size.isdecimal()}


def read_accelerators(config: Any, accelerator: str) -> dict[str, Any]:
    """Return the options that `write_accelerators` wrote for an accelerator, by name."""
    options = declared(ACCELERATORS[accelerator]).values()
    values = {option.name: option.decode(_stored(config, option)) for option in options if option.parameters}
    tensorrt = tensorrt_accelerator(config)
    if tensorrt is None:
        return values
    sizes = profile_sizes(tensorrt.parameters)
    optimized = None if sizes.get("opt") == sizes.get("max") else sizes.get("opt")
    return {**values, declared(TensorRT)["opt_batch_size"].name: optimized}


def _place(config: Any, option: Option) -> str:
    """Return the name of the accelerator that has the parameters of an option; empty for the model itself."""
    return "" if backend_of(config) == "tensorflow" else option.stored_in


def _store(config: Any, place: str, name: str, text: str) -> None:
    if not place:
        config.parameters[name].string_value = text
        return
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    accelerator = gpu_accelerator(config, place) or accelerators.add(name=place)
    accelerator.parameters[name] = text


def _stored(config: Any, option: Option) -> dict[str, str]:
    place = _place(config, option)
    if not place:
        return {name: parameter.string_value for name, parameter in config.parameters.items()}
    accelerator = gpu_accelerator(config, place)
    parameters = {} if accelerator is None else accelerator.parameters
    return {name: _BOOLEANS.get(text.lower(), text) for name, text in parameters.items()}


def _profile(image: TensorSpec, largest: int, optimized: int | None) -> dict[str, str]:
    # Without a profile of the whole range TensorRT builds a new engine for every new batch size.
    sizes = {"min": 1, "opt": optimized or largest, "max": largest}
    shape = "x".join(str(side) for side in image.shape)
    return {_PROFILE.format(which): f"{image.name}:{size}x{shape}" for which, size in sizes.items()}
