"""Arithmetic of a value with a constant, as scale and shift."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.export.graph.network import Step

__all__ = ["ARITHMETIC", "constant_arithmetic"]

Array = npt.NDArray[np.float64]

ARITHMETIC: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Multiply": np.multiply,
    "Negative": np.negative,
    "Subtract": np.subtract,
    "TrueDivide": np.true_divide,
}
"""The operations, by the kind of the step."""


def constant_arithmetic(step: Step) -> tuple[Array, Array] | None:
    """Return scale and shift of an operation with a constant, computed from its results on zeros and on ones.

    None if the operation is not affine, or changes the shape.
    """
    if step.outputs[0].shape != step.inputs[0].shape or (step.kind == "TrueDivide" and step.inputs[0] is step.args[1]):
        return None
    shape = tuple(int(side or 0) for side in step.inputs[0].shape[1:])
    of_zeros, of_ones = _apply(step, np.zeros(shape)), _apply(step, np.ones(shape))
    return of_ones - of_zeros, of_zeros


def _apply(step: Step, value: Array) -> Array:
    args, _ = step.called_with(lambda _: value)
    return np.asarray(ARITHMETIC[step.kind](*args), np.float64)
