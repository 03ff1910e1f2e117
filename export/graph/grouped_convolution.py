"""Grouped convolutions in Keras without XLA.

Keras compiles each call of a grouped convolution with XLA, because TensorFlow could once not compute it on a CPU. It
takes tenths of a second, and in float64 XLA's result is hundreds of times as slow to compute as that of TensorFlow's
own operators, which compute the same: `ConvNeXtTiny` has 18 such layers.

The gate runs every layer once as Keras does (`exact.find_truth`, and the model itself), and compares.
"""

from __future__ import annotations

from typing import Any

from camserve.export.frameworks import keras, tf

from camserve.export.graph.network import Call, Network

__all__ = ["call_without_xla"]

_PRECISIONS = ("float32", "float64")


def call_without_xla(network: Network) -> Call:
    """Return what runs each step of a network in Keras, with the grouped convolutions in TensorFlow's operators."""

    def call(place: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        operation = network.steps[place].operation
        replaced = _is_grouped(operation) and len(args) == 1
        return _convolve(operation, args[0]) if replaced else operation(*args, **kwargs)

    return call


def _is_grouped(operation: Any) -> bool:
    """Return whether an operation is a grouped convolution of Keras; a subclass may compute otherwise."""
    return (
        type(operation) is keras.layers.Conv2D
        and operation.groups > 1
        and operation.data_format == "channels_last"
        and operation.dtype_policy.name in _PRECISIONS
    )


def _convolve(layer: Any, inputs: Any) -> Any:
    inputs, kernel = (keras.ops.convert_to_tensor(value, layer.compute_dtype) for value in (inputs, layer.kernel))
    padding = layer.padding.upper()
    if _is_depthwise(layer):
        rows, columns, _, filters = kernel.shape
        by_channel = tf.reshape(kernel, (rows, columns, layer.groups, filters // layer.groups))
        strides = (1, *layer.strides, 1)
        outputs = tf.nn.depthwise_conv2d(inputs, by_channel, strides, padding, dilations=layer.dilation_rate)
    else:
        outputs = tf.nn.convolution(inputs, kernel, layer.strides, padding, dilations=layer.dilation_rate)
    if layer.bias is not None:
        outputs = outputs + layer.bias
    return outputs if layer.activation is None else layer.activation(outputs)


def _is_depthwise(layer: Any) -> bool:
    """Return whether each group is one channel, and TensorFlow's depthwise convolution has the layer's settings."""
    one_channel = layer.kernel.shape[2] == 1
    same_strides = len(set(layer.strides)) == 1
    return one_channel and same_strides and (layer.strides == (1, 1) or layer.dilation_rate == (1, 1))
