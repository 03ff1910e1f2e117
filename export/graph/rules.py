"""Find the backward rule of a step: that of its layer, after that of the activation in it."""

from __future__ import annotations

from typing import Any

from camserve.export.frameworks import keras

from camserve.export.graph.affine import activation_name
from camserve.export.graph.arithmetic_rules import ARITHMETIC_LAYERS, ARITHMETIC_OPERATIONS
from camserve.export.graph.backward import Form, Product, Rule, total
from camserve.export.graph.derivatives import Derivative, derivative_of
from camserve.export.graph.network import Step, is_layer
from camserve.export.graph.normalization_rules import NORMALIZATION_LAYERS, NORMALIZATION_OPERATIONS
from camserve.export.graph.shape_rules import SHAPE_LAYERS, SHAPE_OPERATIONS
from camserve.export.graph.weighted_rules import WEIGHTED, before_activation

__all__ = ["rule_of"]

_SEVERAL_INPUTS = (keras.layers.Add, keras.layers.Average, keras.layers.Concatenate, keras.layers.Multiply)
_LAYERS = {**WEIGHTED, **NORMALIZATION_LAYERS, **SHAPE_LAYERS, **ARITHMETIC_LAYERS}
_OPERATIONS = {**NORMALIZATION_OPERATIONS, **SHAPE_OPERATIONS, **ARITHMETIC_OPERATIONS}


def rule_of(step: Step) -> Rule | None:
    """Return the backward rule of a step; None if it has none."""
    operation = step.operation
    if _is_identity(step):
        return Rule("linear", lambda after, _: [Product(after)])
    make = _LAYERS.get(type(operation)) if is_layer(operation) else _OPERATIONS.get(step.kind)
    takes_several = isinstance(operation, (*_SEVERAL_INPUTS, keras.layers.Subtract)) or not is_layer(operation)
    if len(step.outputs) != 1 or not step.inputs or (len(step.inputs) > 1 and not takes_several):
        return None
    own = make(step) if make is not None else None
    if own is not None and activation_name(step) == "linear":
        return own
    derivative = derivative_of(step)
    if derivative is None:
        return None
    if make is None:
        return _activation(step, derivative) if _is_activation(step) else None
    return None if own is None else _with_activation(step, own, derivative)


def _is_identity(step: Step) -> bool:
    return type(step.operation) is keras.layers.Activation and activation_name(step) == "linear"


def _is_activation(step: Step) -> bool:
    """Return whether a step is an activation alone; a custom layer may have one as a part of it."""
    return not is_layer(step.operation) or type(step.operation) in _ACTIVATION_LAYERS


def _activation(step: Step, derivative: Derivative) -> Rule:
    form: Form = "homogeneous" if derivative.homogeneous else "other"
    reads = step.outputs if derivative.softmax_axes else step.inputs
    return Rule(form, lambda after, tensors: [derivative.before(after, tensors[0])], reads)


def _with_activation(step: Step, own: Rule, derivative: Derivative) -> Rule:
    """Return the rule of a layer with an activation, which the layer's output determines, or else its inputs."""

    def backward(after: Any, tensors: Any) -> Any:
        (tensor,) = tensors
        read = tensor if derivative.at_output else before_activation(step, tensor)
        return own.backward(total([derivative.before(after, read)]), ())

    homogeneous = derivative.homogeneous and own.form == "linear"
    return Rule(
        "homogeneous" if homogeneous else "other", backward, step.outputs if derivative.at_output else step.inputs
    )


_ACTIVATION_LAYERS = (
    keras.layers.Activation,
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ReLU,
    keras.layers.Softmax,
)
