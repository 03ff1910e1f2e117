"""Names and numbers of the enumerations in Triton's model configuration."""

from __future__ import annotations

from typing import Any

from tritonclient.grpc import model_config_pb2

__all__ = ["enum_name", "enum_number"]


def enum_number(path: str, name: str) -> int:
    """The number of a name: `enum_number("ModelInstanceGroup.Kind", "KIND_GPU") == 1`."""
    return int(_holder(path).Value(name))


def enum_name(path: str, number: int) -> str:
    """The name of a number."""
    return str(_holder(path).Name(number))


def _holder(path: str) -> Any:
    holder: Any = model_config_pb2
    for part in path.split("."):
        holder = getattr(holder, part)
    return holder
