"""Backward rules of sums, differences and products, of values or with constants."""

from __future__ import annotations

from camserve.export.frameworks import keras, tf

import numpy as np

from camserve.export.graph.backward import MakeRule, Product, Rule
from camserve.export.graph.constant_arithmetic import ARITHMETIC, constant_arithmetic
from camserve.export.graph.network import Step
from camserve.export.graph.two_classes import OppositeLogits

__all__ = ["ARITHMETIC_LAYERS", "ARITHMETIC_OPERATIONS"]


def _sum(step: Step) -> Rule | None:
    return _weighted_sum(step, [1.0] * len(step.inputs))


def _average(step: Step) -> Rule | None:
    return _weighted_sum(step, [1.0 / len(step.inputs)] * len(step.inputs))


def _difference(step: Step) -> Rule | None:
    return _weighted_sum(step, [1.0, -1.0])


def _weighted_sum(step: Step, weights: list[float]) -> Rule | None:
    if any(value.shape != step.outputs[0].shape for value in step.inputs):
        return None
    return Rule("linear", lambda after, _: [Product(after if weight == 1 else after * weight) for weight in weights])


def _product_of_two(step: Step) -> Rule | None:
    if len(step.inputs) != 2 or any(value.shape != step.outputs[0].shape for value in step.inputs):
        return None
    return Rule("other", lambda after, factors: [Product(after, factor) for factor in reversed(factors)], step.inputs)


def _arithmetic(of_two: MakeRule | None) -> MakeRule:
    """Return the rule of an operation on two values, or on one and a constant."""

    def make(step: Step) -> Rule | None:
        if len(step.inputs) == 1:
            return _with_constant(step)
        return None if of_two is None else of_two(step)

    return make


def _with_constant(step: Step) -> Rule | None:
    scaling = constant_arithmetic(step)
    if scaling is None:
        return None
    scale, shift = scaling
    return Rule(
        "affine" if shift.any() else "linear",
        lambda after, _: [Product(after * tf.constant(scale[np.newaxis, np.newaxis], after.dtype))],
    )


def _rescaling(step: Step) -> Rule:
    scale, shift = (np.asarray(part, np.float64) for part in (step.operation.scale, step.operation.offset))
    return Rule(
        "affine" if shift.any() else "linear", lambda after, _: [Product(after * tf.constant(scale, after.dtype))]
    )


def _opposite(_: Step) -> Rule:
    return Rule("linear", lambda after, _: [Product(after[..., 1:] - after[..., :1])])


ARITHMETIC_LAYERS: dict[type, MakeRule] = {  # exact types, because a subclass may compute otherwise
    keras.layers.Add: _sum,
    keras.layers.Average: _average,
    keras.layers.Multiply: _product_of_two,
    keras.layers.Rescaling: _rescaling,
    keras.layers.Subtract: _difference,
    OppositeLogits: _opposite,
}
_OF_TWO: dict[str, MakeRule] = {"Add": _sum, "Multiply": _product_of_two, "Subtract": _difference}
ARITHMETIC_OPERATIONS: dict[str, MakeRule] = {kind: _arithmetic(_OF_TWO.get(kind)) for kind in ARITHMETIC}
