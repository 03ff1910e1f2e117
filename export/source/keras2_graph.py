"""The graph of a tf_keras model, called again as a graph of Keras 3."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from camserve.export.frameworks import keras, tf

from camserve.export.source.keras2_layers import UnlikeKeras3Error, is_identity, to_keras_3_layer
from camserve.export.source.keras2_operations import OPERATION_LAYERS, to_keras_3_operation
from camserve.export.source.keras2_wrapper import Keras2Layer

__all__ = ["is_graph", "replay"]


def replay(model: Any, inputs: list[Any]) -> list[Any]:
    """Call the layers of a tf_keras model, and of those nested in it, as layers of Keras 3.

    Calls with `training=True` are recorded in the result and become calls in inference mode in the given model.

    Args:
        model: A functional or sequential tf_keras model that has been built.
        inputs: The inputs of the new model.

    Returns:
        The outputs of the new model.
    """
    return _Conversion().replay(model, inputs, training=False)


@dataclass
class _Conversion:
    _layers: dict[int, Any] = field(default_factory=dict)
    _names: Counter[str] = field(default_factory=Counter)
    _training: dict[int, bool | None] = field(default_factory=dict)

    def replay(self, model: Any, inputs: list[Any], *, training: bool) -> list[Any]:
        tensors = {id(entry): tensor for entry, tensor in zip(model.inputs, inputs, strict=True)}
        for depth in sorted(model._nodes_by_depth, reverse=True):
            for node in model._nodes_by_depth[depth]:
                if not node.is_input:
                    results = self._call(node, tensors, training=training)
                    tensors.update(zip(map(id, tf.nest.flatten(node.outputs)), results, strict=True))
        return [tensors[id(output)] for output in model.outputs]

    def _call(self, node: Any, tensors: dict[int, Any], *, training: bool) -> list[Any]:
        own = self._take_training(node)
        training = training if own is None else own
        inputs = [tensors[id(source)] for source in node.keras_inputs]
        layer = node.layer
        if is_graph(layer):
            return self.replay(layer, inputs, training=training)
        if is_identity(layer) and not training:
            return [_cast(inputs[0], layer)]
        mode = {"training": True} if training and layer._expects_training_arg else {}
        converted = self._converted(layer)
        if converted is None:
            return list(tf.nest.flatten(Keras2Layer(node, self._unique_name(layer))(inputs, **mode)))
        args, kwargs = tf.nest.map_structure(
            lambda leaf: tensors.get(id(leaf), leaf), (node.call_args, node.call_kwargs)
        )
        kwargs = {name: value for name, value in kwargs.items() if name != "training" and value is not None}
        return list(tf.nest.flatten(converted(*args, **kwargs, **mode)))

    def _take_training(self, node: Any) -> bool | None:
        """Return the `training` that the call was built with, and set it to false in the model of tf_keras."""
        if id(node) not in self._training:
            given = node.call_kwargs.pop("training", None)
            self._training[id(node)] = None if given is None else bool(given)
            if given is not None:
                node.call_kwargs["training"] = False
                node._flat_arguments = tf.nest.flatten((node.call_args, node.call_kwargs.values()))
        return self._training[id(node)]

    def _converted(self, layer: Any) -> Any:
        """Return what a layer becomes, the same for each of its calls; None if Keras 3 has nothing like it."""
        if id(layer) not in self._layers:
            try:
                self._layers[id(layer)] = self._convert(layer)
            except UnlikeKeras3Error:
                self._layers[id(layer)] = None
        return self._layers[id(layer)]

    def _convert(self, layer: Any) -> Any:
        if type(layer).__name__ in OPERATION_LAYERS:
            return to_keras_3_operation(layer, self._unique_name(layer))
        return to_keras_3_layer(layer, self._unique_name(layer))

    def _unique_name(self, layer: Any) -> str:
        """Return a name without slashes, which Keras 3 does not accept, that no other layer has."""
        name = str(layer.name).replace("/", "_")
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}_of_{self._names[name]}"


def is_graph(layer: Any) -> bool:
    """Return whether a layer is a model whose layers are what it computes: its class may override `call`."""
    has_graph = bool(getattr(layer, "_nodes_by_depth", None)) and hasattr(layer, "layers")
    return has_graph and str(type(layer).call.__module__).startswith("tf_keras.")


def _cast(tensor: Any, layer: Any) -> Any:
    return tensor if tensor.dtype == layer.compute_dtype else keras.ops.cast(tensor, layer.compute_dtype)
