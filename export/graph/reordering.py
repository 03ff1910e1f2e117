"""Reordering of channels: how a step changes if the channels of its input are in another order.

A rule returns the changed step and the order of the channels of its output, or None for the output if that is what it
was: the layer sums over the channels, and its weights were reordered. An order lists, for each channel, the channel of
before. Channels are the last axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from camserve.export.frameworks import keras

import numpy as np
import numpy.typing as npt

from camserve.export.graph.affine import activation_name
from camserve.export.graph.fold import ScaleAndShift
from camserve.export.graph.network import Step, Value, is_layer
from camserve.export.graph.rebuild import rebuild_layer

__all__ = ["Order", "reorder"]

Order = npt.NDArray[np.int64]
Reordered = tuple[Step, Order | None]

_ELEMENTWISE = frozenset(
    (
        "elu",
        "exponential",
        "gelu",
        "hard_sigmoid",
        "hard_silu",
        "hard_swish",
        "leaky_relu",
        "linear",
        "mish",
        "relu",
        "relu6",
        "selu",
        "sigmoid",
        "silu",
        "softplus",
        "softsign",
        "swish",
        "tanh",
    )
)


def reorder(step: Step, orders: Mapping[Value, Order]) -> Reordered | None:
    """Return the step for the new order of its inputs, and the order of its output; None if the step has no rule.

    Args:
        step: The step.
        orders: The order of the channels of each value that is not in that of before; at least one input of the step.
    """
    operation = step.operation
    has_lora = getattr(operation, "lora_enabled", False)
    if getattr(operation, "data_format", "channels_last") != "channels_last" or has_lora:
        return None
    order = next(orders[value] for value in step.inputs if value in orders)
    if type(operation) in _MERGES or (not is_layer(operation) and step.kind in _ARITHMETIC):
        return _arithmetic(step, order, orders)
    if len(step.inputs) != 1 or len(step.outputs) != 1:
        return None
    rule = _LAYERS.get(type(operation)) if is_layer(operation) else _operation_rule(step)
    return None if rule is None else rule(step, order)


def _with_weights(step: Step, weights: Sequence[npt.NDArray[Any]]) -> Step:
    return replace(step, operation=rebuild_layer(step.operation, weights))


def _with_settings(step: Step, **constants: Any) -> Step:
    numbers = {name: np.asarray(constant).tolist() for name, constant in constants.items()}
    return replace(step, operation=rebuild_layer(step.operation, **numbers))


def _each_channel(step: Step, order: Order) -> Reordered:
    return step, order


def _activation(step: Step, order: Order) -> Reordered | None:
    return (step, order) if activation_name(step) in _ELEMENTWISE else None


def _flatten(step: Step, order: Order) -> Reordered:
    positions = np.arange(math.prod(int(side or 0) for side in step.inputs[0].shape[1:-1]))
    return step, (positions[:, np.newaxis] * len(order) + order).ravel()


def _dense(step: Step, order: Order) -> Reordered:
    kernel, *bias = step.operation.get_weights()
    return _with_weights(step, [kernel[order], *bias]), None


def _convolution(step: Step, order: Order) -> Reordered | None:
    """Reorder a convolution; with groups, those are reordered, too, and so are the channels of its output."""
    layer = step.operation
    kernel, *bias = layer.get_weights()  # [height, width, channels in a group, filters]
    groups, places = np.divmod(order.reshape(layer.groups, -1), kernel.shape[2])
    if layer.groups == 1:
        return _with_weights(step, [kernel[:, :, order], *bias]), None
    if (groups != groups[:, :1]).any() or activation_name(step) not in _ELEMENTWISE:
        return None
    filters = _repeated(groups[:, 0], kernel.shape[3] // layer.groups).reshape(layer.groups, -1)
    parts = [kernel[:, :, place][..., chosen] for place, chosen in zip(places, filters, strict=True)]
    after = filters.ravel()
    return _with_weights(step, [np.concatenate(parts, axis=-1), *(part[after] for part in bias)]), after


def _depthwise(step: Step, order: Order) -> Reordered | None:
    if activation_name(step) not in _ELEMENTWISE:
        return None
    kernel, *bias = step.operation.get_weights()  # [height, width, channels, multiplier]
    after = _repeated(order, kernel.shape[3])
    return _with_weights(step, [kernel[:, :, order], *(part[after] for part in bias)]), after


def _separable(step: Step, order: Order) -> Reordered:
    depthwise, pointwise, *bias = step.operation.get_weights()
    between = _repeated(order, depthwise.shape[3])
    return _with_weights(step, [depthwise[:, :, order], pointwise[:, :, between], *bias]), None


def _repeated(order: Order, times: int) -> Order:
    """Return the order of channels that consist of several channels each."""
    return (order[:, np.newaxis] * times + np.arange(times)).ravel()


def _scale_and_shift(step: Step, order: Order) -> Reordered | None:
    if not _is_last(step, step.operation.axis):
        return None
    return _with_weights(step, [part[order] for part in step.operation.get_weights()]), order


def _rescaling(step: Step, order: Order) -> Reordered | None:
    layer = step.operation
    scale, offset = _reordered(layer.scale, order), _reordered(layer.offset, order)
    if scale is None or offset is None:
        return None
    if scale is layer.scale and offset is layer.offset:
        return step, order
    return _with_settings(step, scale=scale, offset=offset), order


def _normalization(step: Step, order: Order) -> Reordered | None:
    layer = step.operation
    if not layer.axis:  # one mean for all channels
        return step, order
    if len(layer.axis) != 1 or not _is_last(step, layer.axis[0]):
        return None
    if layer.input_mean is None:
        mean, variance, *count = layer.get_weights()
        return _with_weights(step, [mean[order], variance[order], *count]), order
    mean, variance = (_reordered(part, order) for part in (layer.input_mean, layer.input_variance))
    return _with_settings(step, mean=mean, variance=variance), order


def _arithmetic(step: Step, order: Order, orders: Mapping[Value, Order]) -> Reordered | None:
    """Reorder the constants of an operation on values in one order; other values must be alike in all channels."""
    for value in step.inputs:
        alike = np.array_equal(orders[value], order) if value in orders else value.shape[-1:] == (1,)
        if not alike:
            return None
    if is_layer(step.operation):
        return step, order
    args = [arg if isinstance(arg, Value) else _reordered(arg, order) for arg in step.args]
    if step.kwargs or any(arg is None for arg in args):
        return None
    return replace(step, args=tuple(args)), order


def _reordered(constant: Any, order: Order) -> Any:
    """Return a constant that is added to or multiplied with the channels, in the new order; None if unsupported.

    The dtype of an array is kept, because Keras chooses the precision of the result by it.
    """
    array = np.asarray(constant)
    if array.ndim == 0 or array.shape[-1] == 1:
        return constant
    return array[..., order] if array.shape[-1] == len(order) else None


def _is_last(step: Step, axis: int) -> bool:
    rank = len(step.inputs[0].shape)
    return axis % rank == rank - 1


def _operation_rule(step: Step) -> Callable[[Step, Order], Reordered | None] | None:
    is_activation = step.kind == "Cast" or activation_name(step) != "linear"
    return _activation if is_activation else None


_MERGES = frozenset(
    (
        keras.layers.Add,
        keras.layers.Average,
        keras.layers.Maximum,
        keras.layers.Minimum,
        keras.layers.Multiply,
        keras.layers.Subtract,
    )
)
_ARITHMETIC = frozenset(("Add", "Divide", "Maximum", "Minimum", "Multiply", "Subtract", "TrueDivide"))
_LAYERS: dict[type, Callable[[Step, Order], Reordered | None]] = {  # exact types: a subclass may compute otherwise
    **dict.fromkeys(
        (
            keras.layers.AveragePooling2D,
            keras.layers.CenterCrop,
            keras.layers.Cropping2D,
            keras.layers.ELU,
            keras.layers.GlobalAveragePooling2D,
            keras.layers.GlobalMaxPooling2D,
            keras.layers.LeakyReLU,
            keras.layers.MaxPooling2D,
            keras.layers.ReLU,
            keras.layers.Resizing,
            keras.layers.UpSampling2D,
            keras.layers.ZeroPadding2D,
        ),
        _each_channel,
    ),
    keras.layers.Activation: _activation,
    keras.layers.Conv2D: _convolution,
    keras.layers.Dense: _dense,
    keras.layers.DepthwiseConv2D: _depthwise,
    keras.layers.Flatten: _flatten,
    keras.layers.Normalization: _normalization,
    keras.layers.Rescaling: _rescaling,
    keras.layers.SeparableConv2D: _separable,
    ScaleAndShift: _scale_and_shift,
}
