"""A layer of tf_keras in a model of Keras 3: the user's own layers, and those that Keras 3 does not have.

Both libraries compute with TensorFlow, so that the layer itself, with its own weights, is part of the network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from camserve.export.frameworks import keras, tf

__all__ = ["Keras2Layer"]


class Keras2Layer(keras.layers.Layer):  # type: ignore[misc]
    """One call of a layer of tf_keras, in inference mode.

    Args:
        node: The call in the model of tf_keras, which holds the layer and its arguments.
        name: Name in the new model.
        dtype: Precision; a layer of another one is built again.
    """

    def __init__(self, node: Any, name: str, dtype: Any = None) -> None:
        policy = node.layer.dtype_policy.name if hasattr(node.layer, "dtype_policy") else node.layer.dtype
        super().__init__(name=name, dtype=dtype or policy)
        layer = node.layer if self.dtype_policy.name == policy else _in_precision(node, self.dtype_policy.name)
        # TensorFlow saves a layer of tf_keras that is an attribute with all its functions; the variables are enough.
        self._layer_of_keras_2: Callable[[], Any] = lambda: layer
        self._node: Callable[[], Any] = lambda: node
        self._variables_of_keras_2 = list(layer.weights)
        self.built = True

    @property
    def weights(self) -> list[Any]:
        """Return the weights of the layer of tf_keras, which are variables of TensorFlow."""
        return list(self._layer_of_keras_2().weights)

    def call(self, tensors: Any, training: bool = False) -> Any:  # noqa: ARG002  recorded in the model, for a warning
        """Call the layer in inference mode with tensors in the places of those that it was called with."""
        return _call(self._layer_of_keras_2(), self._node(), tf.nest.flatten(tensors))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"node": self._node(), "name": self.name, "dtype": self.dtype_policy.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Keras2Layer:
        """Return a layer of a configuration that another one returned in this process."""
        return cls(**config)


def _call(layer: Any, node: Any, tensors: list[Any]) -> Any:
    remaining = iter(tensors)
    args, kwargs = tf.nest.map_structure(
        lambda leaf: next(remaining) if hasattr(leaf, "_keras_history") else leaf, (node.call_args, node.call_kwargs)
    )
    mode = {"training": False} if layer._expects_training_arg else {}  # the call may have its own `training`
    return layer(*args, **{**kwargs, **mode})


def _in_precision(node: Any, dtype: str) -> Any:
    layer = type(node.layer).from_config({**node.layer.get_config(), "dtype": dtype})
    zeros = [tf.zeros([1 if size is None else size for size in each.shape], each.dtype) for each in node.keras_inputs]
    _call(layer, node, zeros)
    layer.set_weights(node.layer.get_weights())
    return layer
