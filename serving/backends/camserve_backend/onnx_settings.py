"""ONNX Runtime settings of a model's configuration, with the names and the meaning that they have in the C++ backend.

Parameters that the C++ backend ignores are ignored here, too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .parameters import ModelRefusedError, boolean_parameter, integer_parameter, text_parameter

__all__ = ["SessionSettings", "data_type", "session_settings"]

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

_NOT_SHARED = "ignores share_session_between_instances, since each instance is a process with its own session"


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


def _set_entries(config: Mapping[str, Any], names: Collection[str]) -> dict[str, str]:
    return {name: value for name in names if (value := text_parameter(config, name)) is not None}
