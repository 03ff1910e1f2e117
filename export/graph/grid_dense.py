"""Dense layers on grids of positions, as one matrix product of fixed shape.

Keras multiplies `[batch, height, width, channels]` with tf.tensordot, which computes shapes at run time: about ten
nodes for each layer in ONNX, all on the host's CPU. The other sizes are known, so that two reshapes do the same.
"""

from __future__ import annotations

from typing import Any

from camserve.export.frameworks import keras

from camserve.export.graph.network import Call, Network, Step

__all__ = ["call_with_fixed_shapes"]

_MATRIX = 2


def call_with_fixed_shapes(network: Network) -> Call:
    """Return what runs each step of a network: the same products, in the same order, without shapes at run time."""

    def call(place: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        step = network.steps[place]
        return _dense(step, args[0]) if _is_on_grid(step) else step.operation(*args, **kwargs)

    return call


def _is_on_grid(step: Step) -> bool:
    layer = step.operation
    if type(layer) is not keras.layers.Dense or layer.lora_enabled or len(step.args) != 1:
        return False
    shape = step.inputs[0].shape
    return len(shape) > _MATRIX and None not in shape[1:]


def _dense(step: Step, inputs: Any) -> Any:
    layer = step.operation
    *sides, channels = step.inputs[0].shape[1:]  # a custom layer may return a tensor of which TensorFlow knows less
    products = keras.ops.matmul(keras.ops.reshape(inputs, (-1, channels)), layer.kernel)
    biased = products if layer.bias is None else keras.ops.add(products, layer.bias)
    outputs = keras.ops.reshape(biased, (-1, *sides, layer.units))
    return outputs if layer.activation is None else layer.activation(outputs)
