"""The user's own layers, written for Keras 3, in a model that Keras 2 saved.

tf_keras loads the model and knows only its own layers. An adapter is a layer of tf_keras that computes with the
user's: it has the same weights in the same order, so that they are read into it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from camserve.export.frameworks import keras, tf

from camserve.export.source.custom_objects import CustomObjects
from camserve.export.source.keras2_layers import accepted_settings

__all__ = ["LayerAdapter", "adapters"]


class LayerAdapter:
    """What the adapters of all classes have in common; `original` returns the user's layer."""

    original: Any


def adapters(custom: CustomObjects) -> Mapping[str, Any]:
    """Return the user's classes and functions by name, each layer class of Keras 3 as one of tf_keras."""
    return {name: _adapter(value) if _is_keras_3_layer(value) else value for name, value in custom.by_name.items()}


def _is_keras_3_layer(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, keras.layers.Layer)


def _adapter(made: type) -> type:
    import tf_keras  # noqa: PLC0415

    class Adapter(tf_keras.layers.Layer, LayerAdapter):  # type: ignore[misc]
        """A layer of tf_keras that computes with the user's layer."""

        def __init__(self, config: Mapping[str, Any]) -> None:
            super().__init__(name=config.get("name"), dtype=_policy_name(config.get("dtype")))
            self._config = dict(config)
            self._layer = self._made(config.get("name"))

        def _made(self, name: str | None) -> Any:
            settings = accepted_settings(made, self._config, str(name))
            policy = {"dtype": self.dtype_policy.name} if self._takes("dtype") else {}
            return made(**settings, **policy, **({"name": name} if name else {}))

        def _takes(self, name: str) -> bool:
            return name in inspect.signature(made).parameters or any(
                each.kind is each.VAR_KEYWORD for each in inspect.signature(made).parameters.values()
            )

        def build(self, shape: Any) -> None:
            with tf.init_scope():
                _build(self._layer, shape)
            for variable in self._layer.weights:
                self.add_weight(
                    name=variable.path.replace("/", "_"),
                    shape=variable.shape,
                    dtype=str(variable.dtype),
                    trainable=variable.trainable,
                )
            super().build(shape)

        def call(self, *args: Any, **kwargs: Any) -> Any:
            return self._layer(*args, **kwargs)

        def set_weights(self, weights: Any) -> None:
            super().set_weights(weights)
            self._layer.set_weights(weights)

        def synchronize(self) -> None:
            """Pass the weights that were loaded to the user's layer."""
            self._layer.set_weights(self.get_weights())

        def original(self, name: str) -> Any:
            self.synchronize()
            if name == self._layer.name:
                return self._layer
            copy = self._made(name)
            _build(copy, self.get_input_shape_at(0))
            copy.set_weights(self.get_weights())
            return copy

        def get_config(self) -> dict[str, Any]:
            return self._config

        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            return cls(config)

    Adapter.__name__ = Adapter.__qualname__ = made.__name__
    return Adapter


def _build(layer: Any, shape: Any) -> None:
    """Build a layer, and those inside it, which may be built by the first call alone."""
    shapes = [shape] if not isinstance(shape, list) else shape
    zeros = [tf.zeros([1 if size is None else size for size in each], layer.compute_dtype) for each in shapes]
    layer(zeros if isinstance(shape, list) else zeros[0])


def _policy_name(dtype: Any) -> str | None:
    if isinstance(dtype, Mapping):
        return str(dtype.get("config", {}).get("name", "float32"))
    return None if dtype is None else str(dtype)
