"""The logits as an affine function of a value, computed from the logits backwards, step by step.

If the logits are logit_c = Σ_i A[i, c] v_i + b_c for the output v = S u + t of a step, then for its input u they are
logit_c = Σ_j (Sᵀ A)[j, c] u_j + (b + tᵀ A)_c. Computed in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from camserve.export.frameworks import keras, tf

import numpy as np
import numpy.typing as npt

from camserve.export.graph.constant_arithmetic import ARITHMETIC, constant_arithmetic
from camserve.export.graph.fold import ScaleAndShift, scale_and_shift, to_float64
from camserve.export.graph.network import Step, is_layer
from camserve.export.graph.two_classes import OppositeLogits

__all__ = ["Affine", "BackwardRule", "activation_name", "backward_rule", "only_rearranges"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Affine:
    """The logits as an affine function of a value.

    Attributes:
        weights: `[*shape of the value, classes]`.
        bias: `[classes]`.
    """

    weights: Array
    bias: Array

    @classmethod
    def identity(cls, classes: int) -> Affine:
        """Return the logits as a function of themselves."""
        return cls(np.eye(classes), np.zeros(classes))

    def before_matrix(self, matrix: Array, bias: Array | None) -> Affine:
        """Return the function of u where v = u @ matrix + bias.

        Args:
            matrix: `[..., channels in, channels out]`.
            bias: `[channels out]` or None.
        """
        added = 0.0 if bias is None else bias @ self.weights.reshape(-1, *self.weights.shape[-2:]).sum(axis=0)
        return Affine(np.matmul(matrix, self.weights), self.bias + added)

    def before_scaling(self, scale: Array, shift: Array) -> Affine:
        """Return the function of u where v = scale · u + shift; both have the shape of v or broadcast to it."""
        scaled, shifted = (self.weights * part[..., np.newaxis] for part in (scale, shift))
        return Affine(scaled, self.bias + shifted.sum(axis=tuple(range(shifted.ndim - 1))))

    def before_reshape(self, shape: tuple[int, ...]) -> Affine:
        """Return the function of u where v has the elements of u in the same order, and u has this shape."""
        return Affine(self.weights.reshape(*shape, -1), self.bias)


BackwardRule = Callable[[Affine], Affine]
"""From the logits as a function of a step's output to the logits as a function of its input."""


def backward_rule(step: Step) -> BackwardRule | None:
    """Return the rule of a step; None if the step is not affine or not supported."""
    if len(step.inputs) != 1 or len(step.outputs) != 1:
        return None
    make_rule = _rule_factory(step)
    return make_rule(step) if make_rule is not None and activation_name(step) == "linear" else None


def only_rearranges(step: Step) -> bool:
    """Return whether the step is of a kind that moves elements without changing their values."""
    return _rule_factory(step) in (_reshape_rule, _permute_rule)


def activation_name(step: Step) -> str:
    """Return the name of the Keras activation at the end of a step, `linear` if it has none.

    A custom function, or a softmax over another axis than the last, is named as such.
    """
    operation = step.operation
    if isinstance(operation, keras.layers.Softmax) or not is_layer(operation):
        name = _ACTIVATIONS.get(step.kind.lower(), "linear")
        over_classes = getattr(operation, "axis", -1) in (-1, len(step.outputs[0].shape) - 1)
        return name if over_classes or name == "linear" else f"{name} over axis {operation.axis}"
    function = getattr(operation, "activation", keras.activations.linear)
    name = str(getattr(function, "__name__", type(function).__name__)).removesuffix("_v2")  # a suffix of TensorFlow's
    is_keras = any(getattr(module, name, None) is function for module in (keras.activations, keras.ops, tf.nn))
    return name if is_keras else f"{name} (custom function)"


def _rule_factory(step: Step) -> Callable[[Step], BackwardRule | None] | None:
    operation = step.operation
    return _LAYERS.get(type(operation)) if is_layer(operation) else _OPERATIONS.get(step.kind)


def _dense_rule(step: Step) -> BackwardRule:
    kernel, bias = _kernel_and_bias(step.operation)
    return lambda after: after.before_matrix(kernel, bias)


def _convolution_rule(step: Step) -> BackwardRule | None:
    """Return the rule of a convolution that only mixes channels or covers the whole grid at once."""
    layer = step.operation
    grid = step.inputs[0].shape[1:3]
    pointwise = layer.kernel_size == layer.strides == (1, 1)
    whole = layer.kernel_size == grid and layer.padding == "valid" and layer.dilation_rate == (1, 1)
    if layer.groups != 1 or layer.data_format != "channels_last" or not (pointwise or whole):
        return None
    kernel, bias = _kernel_and_bias(layer)
    return lambda after: after.before_matrix(kernel, bias)


def _batch_norm_rule(step: Step) -> BackwardRule:
    return _axis_rule(step, *scale_and_shift(step.operation))


def _scale_and_shift_rule(step: Step) -> BackwardRule:
    return _axis_rule(step, to_float64(step.operation.scale), to_float64(step.operation.shift))


def _axis_rule(step: Step, scale: Array, shift: Array) -> BackwardRule:
    axis = step.operation.axis
    shape = [1] * len(step.inputs[0].shape)
    shape[axis[0] if isinstance(axis, list | tuple) else axis] = -1
    return lambda after: after.before_scaling(scale.reshape(shape[1:]), shift.reshape(shape[1:]))


def _opposite_rule(_: Step) -> BackwardRule:
    return lambda after: after.before_matrix(np.array([[-1.0, 1.0]]), None)


def _rescaling_rule(step: Step) -> BackwardRule:
    layer, shape = step.operation, _shape(step)
    scale, shift = (np.broadcast_to(np.asarray(part, np.float64), shape) for part in (layer.scale, layer.offset))
    return lambda after: after.before_scaling(scale, shift)


def _arithmetic_rule(step: Step) -> BackwardRule | None:
    scaling = constant_arithmetic(step)
    return None if scaling is None else lambda after: after.before_scaling(*scaling)


def _reshape_rule(step: Step) -> BackwardRule | None:
    if getattr(step.operation, "data_format", None) == "channels_first":
        return None
    return lambda after: after.before_reshape(_shape(step))


def _permute_rule(step: Step) -> BackwardRule:
    inverse = np.argsort(step.operation.dims)
    return lambda after: Affine(np.transpose(after.weights, (*inverse, len(inverse))), after.bias)


def _kernel_and_bias(layer: Any) -> tuple[Array, Array | None]:
    return to_float64(layer.kernel), None if layer.bias is None else to_float64(layer.bias)


def _shape(step: Step) -> tuple[int, ...]:
    return tuple(int(side or 0) for side in step.inputs[0].shape[1:])


_LAYERS: dict[type, Callable[[Step], BackwardRule | None]] = {  # exact types, because a subclass may compute otherwise
    keras.layers.Activation: _reshape_rule,
    keras.layers.BatchNormalization: _batch_norm_rule,
    keras.layers.Conv2D: _convolution_rule,
    keras.layers.Dense: _dense_rule,
    keras.layers.Flatten: _reshape_rule,
    keras.layers.Permute: _permute_rule,
    keras.layers.Rescaling: _rescaling_rule,
    keras.layers.Reshape: _reshape_rule,
    OppositeLogits: _opposite_rule,
    ScaleAndShift: _scale_and_shift_rule,
}
_OPERATIONS: dict[str, Callable[[Step], BackwardRule | None]] = {
    **dict.fromkeys(ARITHMETIC, _arithmetic_rule),
    **dict.fromkeys(("ExpandDims", "Reshape", "Squeeze"), _reshape_rule),
}
_ACTIVATIONS = {name.replace("_", "").lower(): name for name in dir(keras.activations) if name[0].islower()}
