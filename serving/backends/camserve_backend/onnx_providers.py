"""The execution providers of ONNX Runtime that a model's configuration requests, and their options."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from .parameters import ModelRefusedError, boolean_parameter, integer_parameter, text_parameter

__all__ = ["CPU", "CUDA", "LABELS", "OPENVINO", "TENSORRT", "Provider", "requested_providers"]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"
_GRAPH = "enable_cuda_graph"
_ALL_MEMORY = str(2**64 - 1)
_CONVOLUTION_SEARCH = {0: "EXHAUSTIVE", 1: "HEURISTIC", 2: "DEFAULT"}
_ARENA_GROWTH = {0: "kNextPowerOfTwo", 1: "kSameAsRequested"}
_TENSORRT_PRECISION = {
    "FP32": {},
    "FP16": {"trt_fp16_enable": "1"},
    "BF16": {"trt_bf16_enable": "1"},
    "INT8": {"trt_int8_enable": "1"},
}
_TENSORRT_NAMES = {
    "max_workspace_size_bytes": "trt_max_workspace_size",
    "int8_calibration_table_name": "trt_int8_calibration_table_name",
    "int8_use_native_calibration_table": "trt_int8_use_native_calibration_table",
}

LABELS = {CPU: "CPU", CUDA: "CUDA", TENSORRT: "TensorRT", OPENVINO: "OpenVINO"}
"""Names of the providers in messages."""

Provider = tuple[str, dict[str, str]]
"""An execution provider and its options."""


def requested_providers(config: Mapping[str, Any], *, kind: str, device: str) -> tuple[Provider, ...]:
    """Return the providers that an instance requests, in order of preference, without the CPU, which is always last.

    Args:
        config: The model's configuration.
        kind: Triton's instance kind, such as `CPU` or `GPU`.
        device: Index of its GPU.

    Raises:
        ModelRefusedError: If an accelerator or a value of its parameters is unknown.
    """
    requested: list[Provider] = []
    if kind == "GPU":
        requested += [(TENSORRT, options) for options in _tensorrt(config, device)]
        requested.append((CUDA, _cuda(config, device)))
    for accelerator in _accelerators(config, "cpu"):
        _check_known(accelerator["name"], ("openvino",))
        requested.append((OPENVINO, {"device_type": "CPU"}))
    return tuple(requested)


def _accelerators(config: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    accelerators = config.get("optimization", {}).get("execution_accelerators", {})
    found: list[dict[str, Any]] = accelerators.get(f"{kind}_execution_accelerator", [])
    return found


def _check_known(name: str, names: Collection[str]) -> None:
    if name not in names:
        raise ModelRefusedError(f"unknown execution accelerator '{name}'; choose {' or '.join(names)}")


def _tensorrt(config: Mapping[str, Any], device: str) -> list[dict[str, str]]:
    found = []
    for accelerator in _accelerators(config, "gpu"):
        _check_known(accelerator["name"], ("tensorrt", "cuda"))
        if accelerator["name"] == "tensorrt":
            options: dict[str, str] = {}
            for name, value in accelerator.get("parameters", {}).items():
                options.update(_tensorrt_option(name, value))
            found.append({**options, "device_id": device})
    return found


def _tensorrt_option(name: str, value: str) -> dict[str, str]:
    if name == "precision_mode":
        if value not in _TENSORRT_PRECISION:
            raise ModelRefusedError(
                f"unknown precision_mode '{value}' of TensorRT; choose one of {', '.join(_TENSORRT_PRECISION)}"
            )
        return _TENSORRT_PRECISION[value]
    if name not in _TENSORRT_NAMES and not name.startswith("trt_"):
        raise ModelRefusedError(f"unknown parameter '{name}' of the accelerator tensorrt")
    return {_TENSORRT_NAMES.get(name, name): value}


def _cuda(config: Mapping[str, Any], device: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for accelerator in _accelerators(config, "gpu"):
        if accelerator["name"] == "cuda":
            options.update(accelerator.get("parameters", {}))
    if options.get(_GRAPH, "0").lower() not in ("0", "false"):
        raise ModelRefusedError(
            f"{_GRAPH} of the accelerator cuda requires fixed batch sizes, which have an option of their own",
            hint="Remove it from config.pbtxt, and publish the model again with --set cuda_graphs=on",
        )
    # As in the C++ backend, the top-level parameters or their defaults take precedence for these four. By itself, the
    # CUDA provider computes float32 in TF32, which has the mantissa of float16.
    return {
        "use_tf32": "0",
        **options,
        "device_id": device,
        "cudnn_conv_algo_search": _choice(config, "cudnn_conv_algo_search", _CONVOLUTION_SEARCH),
        "gpu_mem_limit": text_parameter(config, "gpu_mem_limit") or _ALL_MEMORY,
        "arena_extend_strategy": _choice(config, "arena_extend_strategy", _ARENA_GROWTH),
        "do_copy_in_default_stream": "0" if boolean_parameter(config, "do_copy_in_default_stream") is False else "1",
    }


def _choice(config: Mapping[str, Any], name: str, choices: Mapping[int, str]) -> str:
    value = integer_parameter(config, name)
    if value not in choices:
        raise ModelRefusedError(f"{name} must be one of {', '.join(map(str, choices))}, got {value}")
    return choices[value]
