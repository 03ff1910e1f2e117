"""A Dense layer on a flattened grid as a product for each position, which logits and gradient maps share.

With features f and weights W of the positions p, the layer is z = Σ_p a_p + b, where a_p = f_p W_p. A map of z is then
also one of a: by the chain rule, ∂z/∂f_p · f_p, summed over channels, is ∂z/∂a_p · a_p, summed over units. So the maps
read the products that the layer computes anyway, and not the weights once more: in VGG16, 0.4 GB for every batch.
"""

from __future__ import annotations

from typing import Any

from camserve.export.frameworks import keras

from camserve.export.graph.affine import activation_name, backward_rule, only_rearranges
from camserve.export.graph.network import Network, Step, Value

__all__ = ["PositionProducts", "SumOfPositions", "by_position", "input_of_products"]

_FEWEST_CHANNELS = 32
"""With fewer, the products of a position would be large beside its weights, and take time to write and to add up."""


class PositionProducts(keras.layers.Layer):  # type: ignore[misc]
    """The products of a Dense layer with each position of a grid.

    Args:
        dense: The layer, whose weights it shares.
    """

    def __init__(self, dense: Any) -> None:
        super().__init__(name=dense.name, dtype=dense.dtype_policy)
        self.dense = dense

    def call(self, inputs: Any) -> Any:
        """Return `[batch, height, width, units]` for `[batch, height, width, channels]`."""
        _, height, width, channels = inputs.shape
        features = keras.ops.reshape(inputs, (-1, height * width, channels))
        kernel = keras.ops.reshape(self.dense.kernel, (height * width, channels, self.dense.units))
        products = keras.ops.matmul(keras.ops.transpose(features, (1, 0, 2)), kernel)
        products = keras.ops.transpose(products, (1, 0, 2))
        return keras.ops.reshape(products, (-1, height, width, self.dense.units))


class SumOfPositions(keras.layers.Layer):  # type: ignore[misc]
    """The sum of the products and the bias, `[batch, units]`.

    Args:
        dense: The layer, whose bias it shares.
    """

    def __init__(self, dense: Any) -> None:
        super().__init__(name=dense.name, dtype=dense.dtype_policy)
        self.bias = dense.bias

    def call(self, inputs: Any) -> Any:
        """Add up `[batch, height, width, units]`."""
        total = keras.ops.sum(inputs, axis=(1, 2))
        return total if self.bias is None else keras.ops.add(total, self.bias)


def by_position(network: Network, features: Value) -> Network:
    """Return a network in which a Dense layer on the flattened features multiplies each position.

    Law: the result computes what the network computes, up to rounding. Without such a layer it is the network itself.

    Args:
        network: The network.
        features: The last spatial features, NHWC, of a head that is not linear.
    """
    flatten = _only_reader(network, features)
    dense = None if flatten is None or not _flattens(flatten) else _only_reader(network, flatten.outputs[0])
    if dense is None or not _is_plain(dense) or int(features.shape[-1] or 0) < _FEWEST_CHANNELS:
        return network
    layer = dense.operation
    products = network.fresh((*features.shape[:3], layer.units))
    is_linear = activation_name(dense) == "linear"
    total = dense.outputs[0] if is_linear else Value(products.number + 1, dense.outputs[0].shape)
    replacement = [
        Step(PositionProducts(layer), (features,), {}, (products,)),
        Step(SumOfPositions(layer), (products,), {}, (total,)),
    ]
    if not is_linear:
        activation = keras.layers.Activation(layer.activation, name=layer.name, dtype=layer.dtype_policy)
        replacement.append(Step(activation, (total,), {}, dense.outputs))
    steps = [step for step in network.steps if step is not flatten]
    place = steps.index(dense)
    return network.with_steps([*steps[:place], *replacement, *steps[place + 1 :]])


def input_of_products(network: Network, features: Value) -> Value:
    """Return the features that products of positions were computed from; other features are returned as they are."""
    producer = network.producer(features)
    is_of_products = producer is not None and isinstance(producer.operation, PositionProducts)
    return producer.inputs[0] if producer is not None and is_of_products else features


def _only_reader(network: Network, value: Value) -> Step | None:
    readers = network.consumers(value)
    return readers[0] if len(readers) == 1 and value != network.output else None


def _flattens(step: Step) -> bool:
    return only_rearranges(step) and backward_rule(step) is not None and len(step.outputs[0].shape) == 2


def _is_plain(step: Step) -> bool:
    return type(step.operation) is keras.layers.Dense and not step.operation.lora_enabled
