"""Affine steps read backwards: from how the logits depend on what a step gives to how they depend on what it takes.

With logit_c = Σ_i A[i, c] v_i + b_c for the output v of a step v = S u + t, the logits are as well
Σ_j (Sᵀ A)[j, c] u_j + (b + tᵀ A)_c. The arithmetic is done in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from camserve.export.frameworks import keras, tf

import numpy as np
import numpy.typing as npt

from camserve.export.graph.fold import ScaleAndShift, scale_and_shift
from camserve.export.graph.network import Step

__all__ = ["Affine", "BackwardRule", "activation_name", "backward_rule", "only_rearranges"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Affine:
    """How the logits depend on a value.

    Attributes:
        weights: `[*shape of the value, classes]`.
        bias: `[classes]`.
    """

    weights: Array
    bias: Array

    @classmethod
    def identity(cls, classes: int) -> Affine:
        """The logits themselves."""
        return cls(np.eye(classes), np.zeros(classes))

    def before_matrix(self, matrix: Array, bias: Array | None) -> Affine:
        """Of the input of v = u @ matrix + bias; the matrix ends in `[channels in, channels out]`."""
        added = 0.0 if bias is None else bias @ self.weights.reshape(-1, *self.weights.shape[-2:]).sum(axis=0)
        return Affine(np.matmul(matrix, self.weights), self.bias + added)

    def before_scaling(self, scale: Array, shift: Array) -> Affine:
        """Of the input of v = scale · u + shift; both of the value's shape, or broadcast to it."""
        scaled, shifted = (self.weights * part[..., np.newaxis] for part in (scale, shift))
        return Affine(scaled, self.bias + shifted.sum(axis=tuple(range(shifted.ndim - 1))))

    def before_moving(self, shape: tuple[int, ...]) -> Affine:
        """Of the same numbers in the same order, in another shape."""
        return Affine(self.weights.reshape(*shape, -1), self.bias)


BackwardRule = Callable[[Affine], Affine]


def backward_rule(step: Step) -> BackwardRule | None:
    """How to read the step backwards; None if it is not affine, or of a form that is not read."""
    if len(step.inputs) != 1 or len(step.outputs) != 1:
        return None
    reader = _reader(step)
    return reader(step) if reader is not None and activation_name(step) == "linear" else None


def only_rearranges(step: Step) -> bool:
    """Whether the step is of a kind that changes no number, only its place."""
    return _reader(step) in (_of_moving, _of_permutation)


def activation_name(step: Step) -> str:
    """Name of Keras's activation that the step ends with, `linear` where it has none; says so if it is another."""
    operation = step.operation
    if isinstance(operation, keras.layers.Softmax) or not _is_layer(operation):
        name = _ACTIVATIONS.get(step.kind.lower(), "linear")
        over_classes = getattr(operation, "axis", -1) in (-1, len(step.outputs[0].shape) - 1)
        return name if over_classes or name == "linear" else f"{name} over axis {operation.axis}"
    function = getattr(operation, "activation", keras.activations.linear)
    name = str(getattr(function, "__name__", type(function).__name__)).removesuffix("_v2")  # as TensorFlow calls some
    own = any(getattr(module, name, None) is function for module in (keras.activations, keras.ops, tf.nn))
    return name if own else f"{name} (not Keras's own)"


def _reader(step: Step) -> Callable[[Step], BackwardRule | None] | None:
    operation = step.operation
    return _LAYERS.get(type(operation)) if _is_layer(operation) else _OPERATIONS.get(step.kind)


def _is_layer(operation: Any) -> bool:
    return isinstance(operation, keras.layers.Layer)


def _of_dense(step: Step) -> BackwardRule:
    kernel, bias = _kernel_and_bias(step.operation)
    return lambda after: after.before_matrix(kernel, bias)


def _of_convolution(step: Step) -> BackwardRule | None:
    """Of a convolution that mixes channels only, or takes the whole grid at once."""
    layer = step.operation
    grid = step.inputs[0].shape[1:3]
    pointwise = layer.kernel_size == layer.strides == (1, 1)
    whole = layer.kernel_size == grid and layer.padding == "valid" and layer.dilation_rate == (1, 1)
    if layer.groups != 1 or layer.data_format != "channels_last" or not (pointwise or whole):
        return None
    kernel, bias = _kernel_and_bias(layer)
    return lambda after: after.before_matrix(kernel, bias)


def _of_batch_norm(step: Step) -> BackwardRule:
    return _along_axis(step, *scale_and_shift(step.operation))


def _of_scale_and_shift(step: Step) -> BackwardRule:
    return _along_axis(step, _float64(step.operation.scale), _float64(step.operation.shift))


def _along_axis(step: Step, scale: Array, shift: Array) -> BackwardRule:
    axis = step.operation.axis
    shape = [1] * len(step.inputs[0].shape)
    shape[axis[0] if isinstance(axis, list | tuple) else axis] = -1
    return lambda after: after.before_scaling(scale.reshape(shape[1:]), shift.reshape(shape[1:]))


def _of_rescaling(step: Step) -> BackwardRule:
    layer, shape = step.operation, _shape(step)
    scale, shift = (np.broadcast_to(np.asarray(part, np.float64), shape) for part in (layer.scale, layer.offset))
    return lambda after: after.before_scaling(scale, shift)


def _of_arithmetic(step: Step) -> BackwardRule | None:
    """Of an operation with a constant, read from what it makes of zeros and of ones."""
    if step.outputs[0].shape != step.inputs[0].shape or (step.kind == "TrueDivide" and step.inputs[0] is step.args[1]):
        return None
    of_zeros, of_ones = _result(step, np.zeros(_shape(step))), _result(step, np.ones(_shape(step)))
    return lambda after: after.before_scaling(of_ones - of_zeros, of_zeros)


def _result(step: Step, value: Array) -> Array:
    args, _ = step.called_with(lambda _: value)
    return np.asarray(_ARITHMETIC[step.kind](*args), np.float64)


def _of_moving(step: Step) -> BackwardRule | None:
    if getattr(step.operation, "data_format", None) == "channels_first":
        return None
    return lambda after: after.before_moving(_shape(step))


def _of_permutation(step: Step) -> BackwardRule:
    back = np.argsort(step.operation.dims)
    return lambda after: Affine(np.transpose(after.weights, (*back, len(back))), after.bias)


def _kernel_and_bias(layer: Any) -> tuple[Array, Array | None]:
    return _float64(layer.kernel), None if layer.bias is None else _float64(layer.bias)


def _shape(step: Step) -> tuple[int, ...]:
    return tuple(int(side or 0) for side in step.inputs[0].shape[1:])


def _float64(value: Any) -> Array:
    return np.asarray(keras.ops.convert_to_numpy(value), np.float64)


_LAYERS: dict[type, Callable[[Step], BackwardRule | None]] = {  # exact types: a subclass may do something else
    keras.layers.Activation: _of_moving,
    keras.layers.BatchNormalization: _of_batch_norm,
    keras.layers.Conv2D: _of_convolution,
    keras.layers.Dense: _of_dense,
    keras.layers.Flatten: _of_moving,
    keras.layers.Permute: _of_permutation,
    keras.layers.Rescaling: _of_rescaling,
    keras.layers.Reshape: _of_moving,
    ScaleAndShift: _of_scale_and_shift,
}
_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Multiply": np.multiply,
    "Negative": np.negative,
    "Subtract": np.subtract,
    "TrueDivide": np.true_divide,
}
_OPERATIONS: dict[str, Callable[[Step], BackwardRule | None]] = {
    **dict.fromkeys(_ARITHMETIC, _of_arithmetic),
    **dict.fromkeys(("ExpandDims", "Reshape", "Squeeze"), _of_moving),
}
_ACTIVATIONS = {name.replace("_", "").lower(): name for name in dir(keras.activations) if name[0].islower()}
