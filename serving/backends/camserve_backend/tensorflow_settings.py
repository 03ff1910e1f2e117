"""What a model's configuration asks of TensorFlow, in the names that Triton's own backend gave them until 25.02.

Pure: configuration in, plain values out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .parameters import ModelRefusedError, number, text

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
    """What a session is built with.

    Attributes:
        intra_op_threads: Threads inside an operator; 0 is one for each core.
        inter_op_threads: Operators at once; 0 likewise.
        graph_tag: Tag of the graph in the SavedModel.
        signature: Key of the signature that is served.
        gpu: Number of the GPU; None is the CPU alone.
    """

    intra_op_threads: int
    inter_op_threads: int
    graph_tag: str
    signature: str
    gpu: str | None


def data_type(name: str) -> str:
    """The configuration's word for a type of TensorFlow, `float32` for example; unchanged where it has none."""
    return _TYPES.get(name, name)


def session_settings(config: Mapping[str, Any], *, kind: str, device: str) -> SessionSettings:
    """Reads them from a model's configuration.

    Args:
        config: The model's configuration.
        kind: `CPU`, `GPU` or another word of Triton's for what the instance runs on.
        device: Number of its GPU.

    Raises:
        ModelRefusedError: If a parameter has no meaning.
    """
    return SessionSettings(
        intra_op_threads=_threads(config, "TF_NUM_INTRA_THREADS"),
        inter_op_threads=_threads(config, "TF_NUM_INTER_THREADS"),
        graph_tag=text(config, "TF_GRAPH_TAG") or "serve",
        signature=text(config, "TF_SIGNATURE_DEF") or "serving_default",
        gpu=device if kind == "GPU" else None,
    )


def _threads(config: Mapping[str, Any], name: str) -> int:
    count = number(config, name)
    if count < 0:
        raise ModelRefusedError(f"parameter {name} must not be negative and is {count}")
    return count
