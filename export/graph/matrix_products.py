"""Layers that are one matrix product, of fixed shape.

Keras multiplies `[batch, height, width, channels]` in a Dense layer with tf.tensordot, which computes shapes at run
time: about ten nodes for each layer in ONNX, all on the host's CPU. The other sizes are known, so that two reshapes do
the same.

A 1x1 convolution of a single position, as after global pooling, is computed image by image. One product for all images
of a batch reads the matrix once, and is 5 times as fast in ONNX Runtime with 8 images. The small ones of
squeeze-and-excitation stay convolutions, between which a runtime needs no other layout of the images.
"""

from __future__ import annotations

from typing import Any

from camserve.export.frameworks import keras

from camserve.export.graph.network import Call, Network, Step

__all__ = ["call_with_fixed_shapes", "product"]

_MATRIX, _IMAGES = 2, 4  # ranks
_POINT = (1, 1)


def call_with_fixed_shapes(network: Network) -> Call:
    """Return what runs each step of a network: the same products, in the same order, without shapes at run time."""

    def call(place: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        step = network.steps[place]
        outputs = None if len(args) != 1 or _leads_to_a_grid(network, step) else product(step, args[0])
        if outputs is None:
            return step.operation(*args, **kwargs)
        activation = step.operation.activation
        return outputs if activation is None else activation(outputs)

    return call


def product(step: Step, inputs: Any) -> Any:
    """Return what the activation of a layer reads as one matrix product; None if the layer is not one.

    Args:
        step: A step.
        inputs: Its input, `[batch, height, width, channels]`.
    """
    layer = step.operation
    if _is_on_grid(step):
        matrix = layer.kernel
    elif _is_of_one_position(step):
        matrix = keras.ops.reshape(layer.kernel, layer.kernel.shape[2:])
    else:
        return None
    *sides, _ = step.outputs[0].shape[1:]  # a custom layer may return a tensor of which TensorFlow knows less
    products = keras.ops.matmul(keras.ops.reshape(inputs, (-1, matrix.shape[0])), matrix)
    biased = products if layer.bias is None else keras.ops.add(products, layer.bias)
    return keras.ops.reshape(biased, (-1, *sides, matrix.shape[1]))


def _is_on_grid(step: Step) -> bool:
    layer = step.operation
    if type(layer) is not keras.layers.Dense or layer.lora_enabled:
        return False
    shape = step.inputs[0].shape
    return len(shape) > _MATRIX and None not in shape[1:]


def _is_of_one_position(step: Step) -> bool:
    layer = step.operation
    if type(layer) is not keras.layers.Conv2D or layer.lora_enabled or layer.data_format != "channels_last":
        return False
    return layer.groups == 1 and layer.kernel_size == _POINT and step.inputs[0].shape[1:3] == _POINT


def _leads_to_a_grid(network: Network, step: Step) -> bool:
    """Return whether images depend on a convolution of a single position, as on squeeze-and-excitation."""
    if not _is_of_one_position(step):
        return False
    values = (value for later in network.after(step.outputs[0]) for value in later.outputs)
    return any(len(value.shape) == _IMAGES and value.shape[1:3] != _POINT for value in values)
