"""What a model's configuration asks of ONNX Runtime, in the names and with the meaning that the C++ backend gives them.

Pure: configuration in, plain values out. What the C++ backend passes over in silence is passed over here; what is known
to it but missing in this build of ONNX Runtime becomes a warning.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .parameters import ModelRefusedError, number, switch, text

__all__ = ["ProviderChoice", "SessionSettings", "choose_providers", "data_type", "session_settings"]

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
# A thread that waits by spinning takes its core from the server, which here shares the host with the stub.
_NO_SPINNING = {"session.intra_op.allow_spinning": "0", "session.inter_op.allow_spinning": "0"}

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_TENSORRT = "TensorrtExecutionProvider"
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
    """What a session is built with; None leaves ONNX Runtime's default.

    Attributes:
        graph_level: Name in `onnxruntime.GraphOptimizationLevel`.
        execution_mode: Name in `onnxruntime.ExecutionMode`.
        intra_op_threads: Threads inside an operator; 0 is one for each core.
        inter_op_threads: Operators at once, where the mode is parallel; 0 likewise.
        memory_arena: Whether the CPU keeps an arena.
        memory_pattern: Whether memory is planned ahead for inputs of one shape.
        entries: Configuration entries of the session.
        run_entries: Configuration entries of each run.
        operator_libraries: Libraries of custom operators.
        warnings: What was asked for and is not to be had here.
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
    """Execution providers, best first and the CPU last, and what was asked for and is not to be had here."""

    providers: tuple[Provider, ...]
    warnings: tuple[str, ...]


def data_type(onnx_type: str) -> str:
    """The configuration's word for a type of ONNX Runtime, `tensor(float)` for example; unchanged where it has none."""
    return _TYPES.get(onnx_type, onnx_type)


def session_settings(config: Mapping[str, Any]) -> SessionSettings:
    """Reads them from a model's configuration.

    Raises:
        ModelRefusedError: If a parameter has no meaning.
    """
    mode = number(config, "execution_mode")
    if mode not in _EXECUTION_MODES:
        raise ModelRefusedError(f"execution_mode must be 0 or 1 and is {mode}")
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    shared = switch(config, "share_session_between_instances")
    return SessionSettings(
        graph_level=_GRAPH_LEVELS.get(level, "ORT_ENABLE_ALL"),
        execution_mode=_EXECUTION_MODES[mode],
        intra_op_threads=max(0, number(config, "intra_op_thread_count")),
        inter_op_threads=max(0, number(config, "inter_op_thread_count")),
        memory_arena=switch(config, "enable_mem_arena"),
        memory_pattern=switch(config, "enable_mem_pattern"),
        entries={**_NO_SPINNING, **_given(config, _SESSION_ENTRIES)},
        run_entries=_given(config, _RUN_ENTRIES),
        operator_libraries=tuple(config.get("model_operations", {}).get("op_library_filename", ())),
        warnings=("each instance has a session of its own, since it is a process of its own",) if shared else (),
    )


def choose_providers(
    config: Mapping[str, Any], *, kind: str, device: str, available: Collection[str]
) -> ProviderChoice:
    """The execution providers of one instance.

    Args:
        config: The model's configuration.
        kind: `CPU`, `GPU` or another word of Triton's for what the instance runs on.
        device: Number of its GPU.
        available: Providers that this ONNX Runtime was built with.

    Raises:
        ModelRefusedError: If an accelerator is unknown, or a value of its parameters.
    """
    wanted: list[tuple[str, dict[str, str], str]] = []
    if kind == "GPU":
        wanted += [(_TENSORRT, options, "TensorRT") for options in _tensorrt(config, device)]
        wanted.append((_CUDA, _cuda(config, device), "CUDA"))
    for accelerator in _accelerators(config, "cpu"):
        _known(accelerator["name"], ("openvino",))
        wanted.append((_OPENVINO, {"device_type": "CPU"}, "OpenVINO"))
    missing = [label for name, _, label in wanted if name not in available]
    return ProviderChoice(
        providers=(*((name, options) for name, options, _ in wanted if name in available), (_CPU, {})),
        warnings=tuple(f"this onnxruntime was built without {label}; the model runs without it" for label in missing),
    )


def _given(config: Mapping[str, Any], names: Collection[str]) -> dict[str, str]:
    return {name: value for name in names if (value := text(config, name)) is not None}


def _accelerators(config: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    accelerators = config.get("optimization", {}).get("execution_accelerators", {})
    found: list[dict[str, Any]] = accelerators.get(f"{kind}_execution_accelerator", [])
    return found


def _known(name: str, names: Collection[str]) -> None:
    if name not in names:
        raise ModelRefusedError(f"there is no execution accelerator '{name}' here; there is {', '.join(names)}")


def _tensorrt(config: Mapping[str, Any], device: str) -> list[dict[str, str]]:
    found = []
    for accelerator in _accelerators(config, "gpu"):
        _known(accelerator["name"], ("tensorrt", "cuda"))
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
                f"TensorRT has no precision_mode '{value}'; it has {', '.join(_TENSORRT_PRECISION)}"
            )
        return _TENSORRT_PRECISION[value]
    if name not in _TENSORRT_NAMES and not name.startswith("trt_"):
        raise ModelRefusedError(f"the accelerator tensorrt has no parameter '{name}'")
    return {_TENSORRT_NAMES.get(name, name): value}


def _cuda(config: Mapping[str, Any], device: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for accelerator in _accelerators(config, "gpu"):
        if accelerator["name"] == "cuda":
            options.update(accelerator.get("parameters", {}))
    # As in the C++ backend, these four are reset by what the top-level parameters say or leave out.
    return {
        **options,
        "device_id": device,
        "cudnn_conv_algo_search": _word(config, "cudnn_conv_algo_search", _CONVOLUTION_SEARCH),
        "gpu_mem_limit": text(config, "gpu_mem_limit") or _ALL_MEMORY,
        "arena_extend_strategy": _word(config, "arena_extend_strategy", _ARENA_GROWTH),
        "do_copy_in_default_stream": "0" if switch(config, "do_copy_in_default_stream") is False else "1",
    }


def _word(config: Mapping[str, Any], name: str, words: Mapping[int, str]) -> str:
    given = number(config, name)
    if given not in words:
        raise ModelRefusedError(f"{name} must be one of {', '.join(map(str, words))} and is {given}")
    return words[given]
