"""TensorFlow settings of a model's configuration, with the names of Triton's own backend (until 25.02)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .parameters import ModelRefusedError, boolean_parameter, integer_parameter, text_parameter

__all__ = ["SessionSettings", "data_type", "session_settings"]

_TYPES = {
    "bool": "TYPE_BOOL",
    "uint8": "TYPE_UINT8",
    "uint16": "TYPE_UINT16",
    "uint32": "TYPE_UINT32",
    "uint64": "TYPE_UINT64",
    "int8": "TYPE_INT8",
    "int16": "TYPE_INT16",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float16": "TYPE_FP16",
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
    "string": "TYPE_STRING",
}


@dataclass(frozen=True)
class SessionSettings:
    """Settings of a session.

    Attributes:
        intra_op_threads: Threads within an operator; 0 means one per core.
        inter_op_threads: Operators that run in parallel; 0 means one per core.
        graph_tag: Tag of the graph in the SavedModel.
        signature: Key of the served signature.
        gpu: Index of the GPU; None for CPU only.
        tf32: Whether a GPU may multiply float32 in TF32; None for TensorFlow's default.
    """

    intra_op_threads: int
    inter_op_threads: int
    graph_tag: str
    signature: str
    gpu: str | None
    tf32: bool | None


def data_type(name: str) -> str:
    """Return the configuration's name of a TensorFlow type such as `float32`, or the type if it has none."""
    return _TYPES.get(name, name)


def session_settings(config: Mapping[str, Any], *, kind: str, device: str) -> SessionSettings:
    """Read the session settings from a model's configuration.

    Args:
        config: The model's configuration.
        kind: Triton's instance kind, such as `CPU` or `GPU`.
        device: Index of its GPU.

    Raises:
        ModelRefusedError: If a parameter is invalid.
    """
    return SessionSettings(
        intra_op_threads=_threads(config, "TF_NUM_INTRA_THREADS"),
        inter_op_threads=_threads(config, "TF_NUM_INTER_THREADS"),
        graph_tag=text_parameter(config, "TF_GRAPH_TAG") or "serve",
        signature=text_parameter(config, "TF_SIGNATURE_DEF") or "serving_default",
        gpu=device if kind == "GPU" else None,
        tf32=boolean_parameter(config, "use_tf32"),
    )


def _threads(config: Mapping[str, Any], name: str) -> int:
    count = integer_parameter(config, name)
    if count < 0:
        raise ModelRefusedError(f"parameter {name} must not be negative, got {count}")
    return count
