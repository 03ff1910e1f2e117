"""Backward rules of layers with weights: products with matrices, depthwise convolutions and normalizations."""

from __future__ import annotations

from typing import Any

from camserve.export.frameworks import keras, tf

import numpy as np
import numpy.typing as npt

from camserve.export.graph.backward import Form, MakeRule, Product, Rule, materialize, shape_of
from camserve.export.graph.fold import ScaleAndShift, scale_and_shift, to_float64
from camserve.export.graph.network import Step

__all__ = ["WEIGHTED", "before_activation"]

_POINT = (1, 1)


def before_activation(layer: Any, inputs: Any) -> Any:
    """Compute what the activation of a layer reads, with the operators of the layer itself, so that they are merged."""
    if type(layer) is keras.layers.Dense:
        outputs = keras.ops.matmul(inputs, layer.kernel)
    elif type(layer) is keras.layers.Conv2D:
        outputs = layer.convolution_op(inputs, layer.kernel)
    else:
        outputs = keras.ops.depthwise_conv(
            inputs, layer.kernel, layer.strides, layer.padding, layer.data_format, layer.dilation_rate
        )
    return outputs if layer.bias is None else keras.ops.add(outputs, layer.bias)


def _dense(step: Step) -> Rule:
    layer = step.operation
    return Rule(
        _form_of_bias(layer), lambda after, _: [Product(_product(keras.ops.convert_to_tensor(layer.kernel), after))]
    )


def _product(matrix: Any, after: Any) -> Any:
    """Return the product of derivatives `[batch, maps, ..., out]` with a transposed matrix `[in, out]`.

    The matrix is the left factor, as it is stored: transposed, it would be a second constant of its size.
    """
    maps, *sides, columns = after.shape[1:]
    product = tf.matmul(matrix, tf.reshape(after, (-1, columns)), transpose_b=True)
    return tf.reshape(tf.transpose(product), (-1, maps, *sides, matrix.shape[0]))


def _convolution(step: Step) -> Rule | None:
    """Return the rule of a convolution that only mixes channels, or has a single position as its result."""
    layer = step.operation
    if layer.groups != 1 or layer.data_format != "channels_last":
        return None
    form = _form_of_bias(layer)
    if layer.kernel_size == layer.strides == _POINT:
        matrix = to_float64(layer.kernel)[0, 0]
        return Rule(form, lambda after, _: [Product(_product(tf.constant(matrix, after.dtype), after))])
    kernel = _kernel_on_grid(step)
    if kernel is None:
        return None
    *grid, channels, filters = kernel.shape

    def backward(after: Any, _: Any) -> list[Product]:
        matrix = tf.constant(kernel.reshape(-1, filters), after.dtype)
        flat = _product(matrix, tf.reshape(after, (-1, after.shape[1], filters)))
        return [Product(tf.reshape(flat, (-1, after.shape[1], *grid, channels)))]

    return Rule(form, backward)


def _depthwise(step: Step) -> Rule | None:
    """Return the rule of a depthwise convolution that has a single position as its result."""
    layer = step.operation
    kernel = _kernel_on_grid(step) if layer.data_format == "channels_last" else None
    if kernel is None:
        return None

    def backward(after: Any, _: Any) -> list[Product]:
        by_channel = tf.reshape(after, (-1, after.shape[1], 1, 1, *kernel.shape[2:]))
        return [Product(tf.reduce_sum(by_channel * tf.constant(kernel, after.dtype), axis=-1))]

    return Rule(_form_of_bias(layer), backward)


def _kernel_on_grid(step: Step) -> npt.NDArray[np.float64] | None:
    """Return the weights of each position of the input, `[height, width, ...]`; None if the result is a grid."""
    layer = step.operation
    grid = shape_of(step.inputs[0])[:2]
    if step.outputs[0].shape[1:3] != _POINT or layer.dilation_rate not in (_POINT, 1):
        return None
    kernel = to_float64(layer.kernel)
    padded = np.zeros((*grid, *kernel.shape[2:]))
    places = []
    for size, window in zip(grid, kernel.shape[:2], strict=True):
        before = max(window - size, 0) // 2 if layer.padding == "same" else 0
        places.append((slice(0, min(size, window - before)), slice(before, before + min(size, window - before))))
    (rows, kernel_rows), (columns, kernel_columns) = places
    padded[rows, columns] = kernel[kernel_rows, kernel_columns]
    return padded


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
    """Return the rule of y = γ z + β, z = (x - μ) / σ: with d = γ · after, (d - mean(d) - z · mean(d · z)) / σ."""
    layer = step.operation
    rank = len(step.inputs[0].shape)
    given = layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]
    axes = sorted(axis % rank for axis in given)
    if layer.rms_scaling or axes != list(range(axes[0], rank)):
        return None
    behind = [axis + 1 for axis in axes]  # of derivatives, which have the maps before them

    def backward(after: Any, tensors: Any) -> list[Product]:
        (inputs,) = tensors
        after = materialize(after, shape_of(step.inputs[0]))
        if layer.gamma is not None:
            after = after * keras.ops.convert_to_tensor(layer.gamma)
        centered = inputs - tf.reduce_mean(inputs, axes, keepdims=True)
        variance = tf.reduce_mean(centered * centered, axes, keepdims=True)
        by_deviation = tf.math.rsqrt(variance + layer.epsilon)
        normalized = tf.expand_dims(centered * by_deviation, 1)
        along = tf.reduce_mean(after * normalized, behind, keepdims=True)
        rest = after - tf.reduce_mean(after, behind, keepdims=True) - normalized * along
        return [Product(rest * tf.expand_dims(by_deviation, 1))]

    return Rule("other", backward, step.inputs)


def _form_of_bias(layer: Any) -> Form:
    return "linear" if layer.bias is None or not to_float64(layer.bias).any() else "affine"


WEIGHTED: dict[type, MakeRule] = {  # exact types, because a subclass may compute otherwise
    keras.layers.BatchNormalization: _batch_norm,
    keras.layers.Conv2D: _convolution,
    keras.layers.Dense: _dense,
    keras.layers.DepthwiseConv2D: _depthwise,
    keras.layers.LayerNormalization: _layer_norm,
    ScaleAndShift: _scale_and_shift,
}
