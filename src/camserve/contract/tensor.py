"""The tensors of a contract."""

from __future__ import annotations

import math

from pydantic import field_validator

from camserve.contract.fields import Name, PositiveInteger, Record, invalid
from camserve.tensors import DType
from camserve.text import count

__all__ = ["TensorSpec"]

_MAX_RANK = 8
_MAX_VALUES = 2**29
"""Values of a tensor that a message of gRPC, 2 GiB, can carry as FP32."""


class TensorSpec(Record):
    """An input or output tensor: its name, Triton data type and shape without the batch dimension."""

    name: Name
    dtype: DType
    shape: tuple[PositiveInteger, ...]

    @field_validator("shape")
    @classmethod
    def _is_of_possible_size(cls, shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(shape) > _MAX_RANK:
            raise invalid(f"must have at most {_MAX_RANK} dimensions, got {len(shape)}")
        if math.prod(shape) > _MAX_VALUES:
            raise invalid(f"must be of at most {count(_MAX_VALUES, 'value')}, got {list(shape)}")
        return shape
