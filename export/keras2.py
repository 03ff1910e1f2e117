"""A network of Keras 2 with no model inside another.

Keras 3 reads the layers of Keras 2, and loses its way where a model holds another: the two count the calls of a nested
model differently. Without nesting there is nothing to count.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import tensorflow as tf

__all__ = ["without_nesting"]


def without_nesting(model: Any) -> Any:
    """The same network as one flat functional model of tf_keras; augmentation, idle at inference, is left out.

    Args:
        model: A functional or sequential model of tf_keras that has been built. Its layers are shared with the result,
            and renamed where two have one name: use the result alone.
    """
    import tf_keras  # noqa: PLC0415  it takes seconds, and few sources need it

    inputs = [tf_keras.Input(batch_shape=entry.shape, dtype=entry.dtype) for entry in model.inputs]
    _tell_apart(list(_layers(model)))
    flat = tf_keras.Model(inputs, _replay(model, inputs), name=model.name)
    return flat


def _replay(model: Any, inputs: list[Any]) -> list[Any]:
    """Calls the model's layers on other inputs, those of models inside it as if they were its own."""
    tensors = {id(entry): tensor for entry, tensor in zip(model.inputs, inputs, strict=True)}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.is_input:
                continue
            args, kwargs = tf.nest.map_structure(
                lambda leaf: tensors.get(id(leaf), leaf), (node.call_args, node.call_kwargs)
            )
            results = _call(node.layer, args, kwargs)
            tensors.update(zip(map(id, tf.nest.flatten(node.outputs)), tf.nest.flatten(results), strict=True))
    return [tensors[id(output)] for output in model.outputs]


def _call(layer: Any, args: Any, kwargs: Any) -> Any:
    if _is_graph(layer):
        return _replay(layer, tf.nest.flatten(args))
    if type(layer).__name__.startswith("Random"):
        return args[0]
    return layer(*args, **kwargs)


def _layers(model: Any) -> Any:
    for layer in model.layers:
        if _is_graph(layer):
            yield from _layers(layer)
        else:
            yield layer


def _is_graph(layer: Any) -> bool:
    return bool(getattr(layer, "_nodes_by_depth", None)) and hasattr(layer, "layers")


def _tell_apart(layers: list[Any]) -> None:
    seen: Counter[str] = Counter()
    for layer in {id(layer): layer for layer in layers}.values():
        seen[layer.name] += 1
        if seen[layer.name] > 1:
            layer._name = f"{layer.name}_of_{seen[layer.name]}"
