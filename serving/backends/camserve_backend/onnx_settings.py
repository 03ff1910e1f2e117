"""ONNX Runtime settings of a model's configuration, with the names and the meaning that they have in the C++ backend.

Parameters that the C++ backend ignores are ignored here, too. Features that it has but this build of ONNX Runtime lacks
cause a warning.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .parameters import ModelRefusedError, boolean_parameter, integer_parameter, text_parameter

__all__ = [
    "CPU",
    "CUDA",
    "TENSORRT",
    "Provider",
    "ProviderChoice",
    "SessionSettings",
    "choose_providers",
    "data_type",
    "session_settings",
]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

_TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
    "tensor(string)": "TYPE_STRING",
}
_GRAPH_LEVELS = {-1: "ORT_ENABLE_BASIC", 1: "ORT_ENABLE_EXTENDED", 2: "ORT_DISABLE_ALL"}
_EXECUTION_MODES = {0: "ORT_SEQUENTIAL", 1: "ORT_PARALLEL"}
_SESSION_ENTRIES = ("session.use_device_allocator_for_initializers",)
_RUN_ENTRIES = ("memory.enable_memory_arena_shrinkage",)
# Spinning threads would take CPU time from the server, which shares the machine with the stub.
_NO_SPINNING = {"session.intra_op.allow_spinning": "0", "session.inter_op.allow_spinning": "0"}

_NOT_SHARED = "share_session_between_instances is ignored: each instance is a process with its own session"

_OPENVINO = "OpenVINOExecutionProvider"
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

Provider = tuple[str, dict[str, str]]
"""An execution provider and its options."""


@dataclass(frozen=True)
class SessionSettings:
    """Settings of a session; None keeps the default of ONNX Runtime.

    Attributes:
        graph_level: Name in `onnxruntime.GraphOptimizationLevel`.
        execution_mode: Name in `onnxruntime.ExecutionMode`.
        intra_op_threads: Threads within an operator; 0 means one per core.
        inter_op_threads: Operators that run in parallel, in parallel mode; 0 means one per core.
        memory_arena: Whether the CPU provider uses a memory arena.
        memory_pattern: Whether memory is planned in advance for inputs of one shape.
        entries: Session configuration entries.
        run_entries: Run configuration entries.
        operator_libraries: Libraries with custom operators.
        warnings: Requested features that are not available.
    """

    graph_level: str
    execution_mode: str
    intra_op_threads: int
    inter_op_threads: int
    memory_arena: bool | None
    memory_pattern: bool | None
    entries: Mapping[str, str] = field(default_factory=dict)
    run_entries: Mapping[str, str] = field(default_factory=dict)
    operator_libraries: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProviderChoice:
    """The execution providers of an instance.

    Attributes:
        providers: In order of preference, the CPU last.
        warnings: Requested providers that are not available.
    """

    providers: tuple[Provider, ...]
    warnings: tuple[str, ...]


def data_type(onnx_type: str) -> str:
    """Return the configuration's name of an ONNX Runtime type such as `tensor(float)`, or the type if it has none."""
    return _TYPES.get(onnx_type, onnx_type)


def session_settings(config: Mapping[str, Any]) -> SessionSettings:
    """Read the session settings from a model's configuration.

    Raises:
        ModelRefusedError: If a parameter is invalid.
    """
    mode = integer_parameter(config, "execution_mode")
    if mode not in _EXECUTION_MODES:
        raise ModelRefusedError(f"execution_mode must be 0 or 1, got {mode}")
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    shared = boolean_parameter(config, "share_session_between_instances")
    return SessionSettings(
        graph_level=_GRAPH_LEVELS.get(level, "ORT_ENABLE_ALL"),
        execution_mode=_EXECUTION_MODES[mode],
        intra_op_threads=max(0, integer_parameter(config, "intra_op_thread_count")),
        inter_op_threads=max(0, integer_parameter(config, "inter_op_thread_count")),
        memory_arena=boolean_parameter(config, "enable_mem_arena"),
        memory_pattern=boolean_parameter(config, "enable_mem_pattern"),
        entries={**_NO_SPINNING, **_set_entries(config, _SESSION_ENTRIES)},
        run_entries=_set_entries(config, _RUN_ENTRIES),
        operator_libraries=tuple(config.get("model_operations", {}).get("op_library_filename", ())),
        warnings=(_NOT_SHARED,) if shared else (),
    )


def choose_providers(
    config: Mapping[str, Any], *, kind: str, device: str, available: Collection[str]
) -> ProviderChoice:
    """Choose the execution providers of an instance.

    Args:
        config: The model's configuration.
        kind: Triton's instance kind, such as `CPU` or `GPU`.
        device: Index of its GPU.
        available: Providers of this build of ONNX Runtime.

    Raises:
        ModelRefusedError: If an accelerator or a value of its parameters is unknown.
    """
    requested: list[tuple[str, dict[str, str], str]] = []
    if kind == "GPU":
        requested += [(TENSORRT, options, "TensorRT") for options in _tensorrt(config, device)]
        requested.append((CUDA, _cuda(config, device), "CUDA"))
    for accelerator in _accelerators(config, "cpu"):
        _check_known(accelerator["name"], ("openvino",))
        requested.append((_OPENVINO, {"device_type": "CPU"}, "OpenVINO"))
    missing = [label for name, _, label in requested if name not in available]
    return ProviderChoice(
        providers=(*((name, options) for name, options, _ in requested if name in available), (CPU, {})),
        warnings=tuple(f"this onnxruntime has no {label} provider; the model runs without it" for label in missing),
    )


def _set_entries(config: Mapping[str, Any], names: Collection[str]) -> dict[str, str]:
    return {name: value for name in names if (value := text_parameter(config, name)) is not None}


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
    # As in the C++ backend, the top-level parameters or their defaults take precedence for these four.
    return {
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
