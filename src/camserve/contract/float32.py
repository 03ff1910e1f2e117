"""Check the arithmetic on pixels: in float32 it must neither overflow nor make different pixels equal."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable
from functools import lru_cache
from operator import sub, truediv
from typing import Literal

from camserve.contract.fields import SMALLEST_NORMAL, to_float32

__all__ = ["Operation", "lost_pixels"]

Operation = Literal["divide", "subtract"]

_PIXELS = range(-256, 512)
"""Every pixel, and as far again on both sides: bicubic filters exceed the range of their pixels."""

_OPERATIONS: dict[Operation, Callable[[float, float], float]] = {"divide": truediv, "subtract": sub}


@lru_cache(maxsize=256)
def lost_pixels(arithmetic: tuple[tuple[Operation, float], ...]) -> str | None:
    """Return what pixels become, if operations lose them: infinite, subnormal or equal; None if they keep every pixel.

    The results are those of float32 arithmetic: float64 has more than twice its digits, so rounding twice is harmless.

    Args:
        arithmetic: The operations, in order, each with its operand.
    """
    values = array("f", _PIXELS)
    for operation, operand in arithmetic:
        values = _apply(_OPERATIONS[operation], values, to_float32(operand))
        if not all(map(math.isfinite, values)):
            return "infinite"
        if any(0.0 < abs(value) < SMALLEST_NORMAL for value in values):
            return "subnormal"
    return None if len(set(values)) == len(values) else "equal to each other"


def _apply(operate: Callable[[float, float], float], values: Iterable[float], operand: float) -> array[float]:
    return array("f", (operate(value, operand) for value in values))
