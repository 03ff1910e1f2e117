"""The types of a contract's fields: strict, because a contract comes from a server or a file of someone else.

`true` is not a number, `"yes"` is not true, 3.0 is not an integer, and `"255"` is not a number.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from camserve.text import excerpt

__all__ = [
    "CONFLICT",
    "DOCUMENT",
    "INVALID",
    "SMALLEST_NORMAL",
    "Divisor",
    "Flag",
    "Name",
    "PositiveInteger",
    "Record",
    "Subtrahend",
    "conflict",
    "invalid",
    "to_float32",
]

INVALID, CONFLICT = "contract_field", "contract_conflict"
"""The types of errors: of a field, whose name the message continues, and of fields that the message names itself."""

DOCUMENT: Mapping[str, bool] = {"document": True}
"""The context in which a document is validated: it must have every field, as nothing is assumed of a server."""

SMALLEST_NORMAL = 2.0**-126
"""The smallest number that float32 represents with its full precision."""

_LONGEST_NAME = 256


class Record(BaseModel):
    """An immutable part of a contract, which has no other fields than its own.

    Attributes:
        implied: Fields that a document may leave out, because its other fields determine them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    implied: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _has_exactly_its_fields(cls, value: Any, info: ValidationInfo) -> Any:
        if info.context is not DOCUMENT:
            return value
        if not isinstance(value, dict):
            raise invalid(f"must be an object, got {excerpt(value)}")
        missing = [name for name in cls.model_fields if name not in value and name not in cls.implied]
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            raise invalid(f"must have {', '.join(cls.model_fields)}, but {', '.join(missing)} {verb} missing")
        unknown = [key for key in value if key not in cls.model_fields]
        if unknown:
            raise invalid(f"has the unknown field {excerpt(unknown[0])}; known are {', '.join(cls.model_fields)}")
        return value


def invalid(message: str) -> PydanticCustomError:
    """Return the error of an invalid field; the message continues the name of the field."""
    return PydanticCustomError(INVALID, "{message}", {"message": message})


def conflict(message: str) -> PydanticCustomError:
    """Return the error of fields that do not agree; the message names them."""
    return PydanticCustomError(CONFLICT, "{message}", {"message": message})


def to_float32(value: float) -> float:
    """Round to float32; infinite above its range."""
    return array("f", (value,))[0]


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise invalid(f"must be a number, got {excerpt(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(to_float32(number)):
        raise invalid(f"must be a finite number in float32, got {excerpt(value)}")
    return number


def _divisor(value: object) -> float:
    number = _number(value)
    if abs(to_float32(number)) < SMALLEST_NORMAL:
        raise invalid(f"is a divisor and must not be 0 or subnormal in float32, got {excerpt(value)}")
    return number


def _subtrahend(value: object) -> float:
    number = _number(value)
    if number != 0.0 and abs(to_float32(number)) < SMALLEST_NORMAL:
        raise invalid(f"must be 0 or a normal number in float32, got {excerpt(value)}")
    return number


def _positive_integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or not 1 <= int(value) <= sys.maxsize:
        raise invalid(f"must be a positive integer of at most 64 bits, got {excerpt(value)}")
    return int(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise invalid(f"must be true or false, got {excerpt(value)}")
    return value


def _name(value: object) -> str:
    if not (isinstance(value, str) and 1 <= len(value) <= _LONGEST_NAME and value.isprintable()):
        raise invalid(f"must be 1 to {_LONGEST_NAME} printable characters, got {excerpt(value)}")
    return value


Divisor = Annotated[float, BeforeValidator(_divisor)]
Subtrahend = Annotated[float, BeforeValidator(_subtrahend)]
PositiveInteger = Annotated[int, BeforeValidator(_positive_integer)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Name = Annotated[str, BeforeValidator(_name)]
