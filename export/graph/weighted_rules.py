"""Backward rules of layers that multiply with weights: matrices and convolutions."""

from __future__ import annotations

from typing import Any

from camserve.export.frameworks import keras, tf

import numpy as np
import numpy.typing as npt

from camserve.export.graph.backward import Form, MakeRule, Product, Rule, shape_of
from camserve.export.graph.fold import to_float64
from camserve.export.graph.matrix_products import product
from camserve.export.graph.network import Step
from camserve.export.graph.position_products import SumOfPositions

__all__ = ["WEIGHTED", "before_activation"]

_POINT = (1, 1)


def before_activation(step: Step, inputs: Any) -> Any:
    """Compute what the activation of a layer reads, with the operators of the layer itself, so that they are merged."""
    layer = step.operation
    as_product = product(step, inputs)
    if as_product is not None:
        return as_product
    if type(layer) is keras.layers.Dense:
        outputs = keras.ops.matmul(inputs, layer.kernel)
    elif type(layer) is keras.layers.Conv2D:
        outputs = layer.convolution_op(inputs, layer.kernel)
    elif type(layer) is keras.layers.SeparableConv2D:
        outputs = keras.ops.separable_conv(
            inputs,
            layer.depthwise_kernel,
            layer.pointwise_kernel,
            layer.strides,
            layer.padding,
            layer.data_format,
            layer.dilation_rate,
        )
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


def _sum_of_positions(step: Step) -> Rule:
    """Return the rule of a sum over the grid: each position has the same part in it."""
    units = step.outputs[0].shape[1]
    return Rule(
        _form_of_bias(step.operation),
        lambda after, _: [Product(tf.reshape(after, (-1, after.shape[1], 1, 1, units)))],
    )


def _product(matrix: Any, after: Any) -> Any:
    """Return the product of derivatives `[batch, maps, ..., out]` with a transposed matrix `[in, out]`.

    The matrix is the left factor, as it is stored: transposed, it would be a second constant of its size.
    """
    maps, *sides, columns = after.shape[1:]
    columns_first = tf.matmul(matrix, tf.reshape(after, (-1, columns)), transpose_b=True)
    return tf.reshape(tf.transpose(columns_first), (-1, maps, *sides, matrix.shape[0]))


def _convolution(step: Step) -> Rule | None:
    """Return the rule of a convolution that only mixes channels, or has a single position as its result."""
    layer = step.operation
    if layer.groups != 1 or layer.data_format != "channels_last":
        return None
    form = _form_of_bias(layer)
    if layer.kernel_size == layer.strides == _POINT:
        matrix = to_float64(layer.kernel)[0, 0]
        return Rule(form, lambda after, _: [Product(_product(tf.constant(matrix, after.dtype), after))])
    kernel = _kernel_on_grid(step, layer.kernel)
    if kernel is None:
        return None
    *grid, channels, filters = kernel.shape

    def backward(after: Any, _: Any) -> list[Product]:
        matrix = tf.constant(kernel.reshape(-1, filters), after.dtype)
        flat = _product(matrix, tf.reshape(after, (-1, after.shape[1], filters)))
        return [Product(tf.reshape(flat, (-1, after.shape[1], *grid, channels)))]

    return Rule(form, backward)


def _depthwise(step: Step) -> Rule | None:
    """Return the rule of a depthwise convolution that is 1x1, or has a single position as its result."""
    kernel = _depthwise_kernel(step, step.operation.kernel)
    if kernel is None:
        return None
    return Rule(_form_of_bias(step.operation), lambda after, _: [Product(_spread(after, kernel))])


def _separable(step: Step) -> Rule | None:
    """Return the rule of a depthwise convolution, as above, and a 1x1 convolution after it."""
    layer = step.operation
    kernel = _depthwise_kernel(step, layer.depthwise_kernel)
    if kernel is None:
        return None
    matrix = to_float64(layer.pointwise_kernel)[0, 0]

    def backward(after: Any, _: Any) -> list[Product]:
        return [Product(_spread(_product(tf.constant(matrix, after.dtype), after), kernel))]

    return Rule(_form_of_bias(layer), backward)


def _spread(after: Any, kernel: npt.NDArray[np.float64]) -> Any:
    """Return the derivatives before a depthwise convolution: each channel has those of its own results.

    Args:
        after: `[batch, maps, height, width, channels * multiplier]`, of the result.
        kernel: `[height, width, channels, multiplier]`; the grid of one of both is 1x1.
    """
    by_channel = tf.reshape(after, (-1, *after.shape[1:4], *kernel.shape[2:]))
    return tf.reduce_sum(by_channel * tf.constant(kernel, after.dtype), axis=-1)


def _depthwise_kernel(step: Step, weights: Any) -> npt.NDArray[np.float64] | None:
    layer = step.operation
    if layer.data_format != "channels_last":
        return None
    pointwise = layer.kernel_size == layer.strides == _POINT
    return to_float64(weights) if pointwise else _kernel_on_grid(step, weights)


def _kernel_on_grid(step: Step, weights: Any) -> npt.NDArray[np.float64] | None:
    """Return the weights of each position of the input, `[height, width, ...]`; None if the result is a grid."""
    layer = step.operation
    grid = shape_of(step.inputs[0])[:2]
    if step.outputs[0].shape[1:3] != _POINT or layer.dilation_rate not in (_POINT, 1):
        return None
    kernel = to_float64(weights)
    padded = np.zeros((*grid, *kernel.shape[2:]))
    places = []
    for size, window in zip(grid, kernel.shape[:2], strict=True):
        before = max(window - size, 0) // 2 if layer.padding == "same" else 0
        places.append((slice(0, min(size, window - before)), slice(before, before + min(size, window - before))))
    (rows, kernel_rows), (columns, kernel_columns) = places
    padded[rows, columns] = kernel[kernel_rows, kernel_columns]
    return padded


def _form_of_bias(layer: Any) -> Form:
    return "linear" if layer.bias is None or not to_float64(layer.bias).any() else "affine"


WEIGHTED: dict[type, MakeRule] = {  # exact types, because a subclass may compute otherwise
    keras.layers.Conv2D: _convolution,
    keras.layers.Dense: _dense,
    keras.layers.DepthwiseConv2D: _depthwise,
    keras.layers.SeparableConv2D: _separable,
    SumOfPositions: _sum_of_positions,
}
