"""Backward rules of normalizations: by constants (BatchNorm), or by the mean and size of the values themselves.

With z = (x - μ) / σ and the derivative d by z, that by x is (d - mean(d) - z · mean(d · z)) / σ. Where no mean is
subtracted, the second term is missing; where σ is the length instead of the deviation, the last mean is a sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from camserve.export.frameworks import keras, tf

import numpy as np
import numpy.typing as npt

from camserve.export.graph.backward import MakeRule, Product, Rule, materialize, shape_of
from camserve.export.graph.fold import ScaleAndShift, scale_and_shift, to_float64
from camserve.export.graph.network import Step

__all__ = ["NORMALIZATION_LAYERS", "NORMALIZATION_OPERATIONS"]

_UNIT_EPSILON = 1e-12  # of keras.layers.UnitNormalization


def _batch_norm(step: Step) -> Rule:
    return _scaling(step, *scale_and_shift(step.operation))


def _scale_and_shift(step: Step) -> Rule:
    return _scaling(step, to_float64(step.operation.scale), to_float64(step.operation.shift))


def _scaling(step: Step, scale: npt.NDArray[np.float64], shift: npt.NDArray[np.float64]) -> Rule:
    axis = step.operation.axis
    shape = [1] * len(step.inputs[0].shape)
    shape[axis[0] if isinstance(axis, list | tuple) else axis] = -1
    factor = scale.reshape(1, *shape)
    return Rule(
        "affine" if shift.any() else "linear", lambda after, _: [Product(after * tf.constant(factor, after.dtype))]
    )


def _layer_norm(step: Step) -> Rule | None:
    layer = step.operation
    return None if layer.rms_scaling else _by_moments(step, layer.gamma, centered=True)


def _rms_norm(step: Step) -> Rule | None:
    return _by_moments(step, step.operation.scale, centered=False)


def _by_moments(step: Step, scale: Any, *, centered: bool) -> Rule | None:
    """Return the rule of a normalization by the mean square, of which the trailing axes are normalized together."""
    axes = _axes(step)
    if axes != list(range(axes[0], len(step.inputs[0].shape))):
        return None

    def backward(after: Any, tensors: Any) -> list[Product]:
        after = materialize(after, shape_of(step.inputs[0]))
        if scale is not None:
            after = after * keras.ops.convert_to_tensor(scale)
        return [Product(_before_moments(after, tensors[0], axes, step.operation.epsilon, centered=centered))]

    return Rule("other", backward, step.inputs)


def _group_norm(step: Step) -> Rule | None:
    """Return the rule of GroupNormalization of the last axis: all positions of a group are normalized together."""
    layer, shape = step.operation, shape_of(step.inputs[0])
    if layer.axis not in (-1, len(shape)):
        return None
    grouped = (*shape[:-1], layer.groups, shape[-1] // layer.groups)
    axes = [axis for axis in range(1, len(grouped) + 1) if axis != len(shape)]

    def backward(after: Any, tensors: Any) -> list[Product]:
        after = materialize(after, shape)
        if layer.gamma is not None:
            after = after * keras.ops.convert_to_tensor(layer.gamma)
        after = tf.reshape(after, (-1, after.shape[1], *grouped))
        inputs = tf.reshape(tensors[0], (-1, *grouped))
        before = _before_moments(after, inputs, axes, layer.epsilon, centered=True)
        return [Product(tf.reshape(before, (-1, after.shape[1], *shape)))]

    return Rule("other", backward, step.inputs)


def _before_moments(after: Any, inputs: Any, axes: Sequence[int], epsilon: float, *, centered: bool) -> Any:
    """Return the derivatives by what is divided by its deviation, or, not centered, by its root mean square.

    Args:
        after: `[batch, maps, *shape]`, by the normalized values.
        inputs: `[batch, *shape]`.
        axes: Those of `inputs` that are normalized together.
        epsilon: Is added to the mean square.
        centered: Whether the mean is subtracted.
    """
    behind = [axis + 1 for axis in axes]  # of derivatives, which have the maps before them
    values = inputs - tf.reduce_mean(inputs, axes, keepdims=True) if centered else inputs
    by_deviation = tf.math.rsqrt(tf.reduce_mean(values * values, axes, keepdims=True) + epsilon)
    normalized = tf.expand_dims(values * by_deviation, 1)
    rest = after - tf.reduce_mean(after, behind, keepdims=True) if centered else after
    along = tf.reduce_mean(after * normalized, behind, keepdims=True)
    return (rest - normalized * along) * tf.expand_dims(by_deviation, 1)


def _unit_norm(step: Step) -> Rule | None:
    return _to_length_one(step, _UNIT_EPSILON)


def _normalize(step: Step) -> Rule | None:
    operation = step.operation
    if operation.order != 2 or operation.axis is None:
        return None
    return _to_length_one(step, keras.config.epsilon() if operation.epsilon is None else operation.epsilon)


def _to_length_one(step: Step, epsilon: float) -> Rule | None:
    axes = _axes(step)
    behind = [axis + 1 for axis in axes]
    if 0 in axes:
        return None

    def backward(after: Any, tensors: Any) -> list[Product]:
        after = materialize(after, shape_of(step.inputs[0]))
        squares = tf.reduce_sum(tensors[0] * tensors[0], axes, keepdims=True)
        by_length = tf.math.rsqrt(tf.maximum(squares, epsilon * epsilon))
        normalized = tf.expand_dims(tensors[0] * by_length, 1)
        along = tf.reduce_sum(after * normalized, behind, keepdims=True)
        return [Product((after - normalized * along) * tf.expand_dims(by_length, 1))]

    return Rule("other", backward, step.inputs)


def _axes(step: Step) -> list[int]:
    axis, rank = step.operation.axis, len(step.inputs[0].shape)
    return sorted(each % rank for each in (axis if isinstance(axis, list | tuple) else [axis]))


NORMALIZATION_LAYERS: dict[type, MakeRule] = {  # exact types, because a subclass may compute otherwise
    keras.layers.BatchNormalization: _batch_norm,
    keras.layers.GroupNormalization: _group_norm,
    keras.layers.LayerNormalization: _layer_norm,
    keras.layers.UnitNormalization: _unit_norm,
    ScaleAndShift: _scale_and_shift,
}
if hasattr(keras.layers, "RMSNormalization"):  # since Keras 3.9
    NORMALIZATION_LAYERS[keras.layers.RMSNormalization] = _rms_norm
NORMALIZATION_OPERATIONS: dict[str, MakeRule] = {"Normalize": _normalize}
