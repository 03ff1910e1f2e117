"""The user's own layers, written for Keras 3, in a model that Keras 2 saved.

tf_keras loads the model and knows only its own layers. An adapter is a layer of tf_keras that computes with the
user's layer. It has the same weights in the same order, so that the stored weights are loaded into it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from camserve.export.frameworks import keras, tf

from camserve.export.source.custom_objects import CustomObjects
from camserve.export.source.keras2_layers import accepted_settings

__all__ = ["UserLayer", "make_adapters"]

_HANDLED = ("name", "dtype", "trainable")


def make_adapters(custom: CustomObjects) -> Mapping[str, Any]:
    """Return the user's classes and functions by name, with each layer class of Keras 3 as one of tf_keras."""
    return {
        name: _make_adapter(value) if inspect.isclass(value) and issubclass(value, keras.layers.Layer) else value
        for name, value in custom.by_name.items()
    }


class UserLayer:
    """The user's layer class with the configuration that Keras 2 stored.

    Args:
        layer_class: The class, of Keras 3.
        config: The stored configuration.
    """

    def __init__(self, layer_class: type, config: Mapping[str, Any]) -> None:
        self._class = layer_class
        self.config = dict(config)
        self.name = config.get("name")
        dtype = config.get("dtype")
        self.dtype = dtype.get("config", {}).get("name") if isinstance(dtype, Mapping) else dtype

    def make(self, name: str | None, shape: Any) -> Any:
        """Return a built layer of the class.

        Args:
            name: Its name.
            shape: Shape of its input, or a list of shapes.
        """
        # In the user's own layer, a name such as `mean` or `momentum` may mean anything: no declared one is dropped.
        own = {key: value for key, value in self.config.items() if key not in _HANDLED and self._declares(key)}
        settings = {**accepted_settings(self._class, self.config, str(name)), **own}
        extra = {"dtype": self.dtype, "name": name}
        accepted = {key: value for key, value in extra.items() if value is not None and self._accepts(key)}
        layer = self._class(**settings, **accepted)
        shapes = shape if isinstance(shape, list) else [shape]
        zeros = [tf.zeros([1 if size is None else size for size in each], layer.compute_dtype) for each in shapes]
        layer(zeros if isinstance(shape, list) else zeros[0])  # layers inside it may be built only by a call
        return layer

    def _declares(self, name: str) -> bool:
        return name in inspect.signature(self._class).parameters

    def _accepts(self, name: str) -> bool:
        parameters = inspect.signature(self._class).parameters.values()
        return self._declares(name) or any(each.kind is each.VAR_KEYWORD for each in parameters)


def _make_adapter(layer_class: type) -> type:
    import tf_keras  # noqa: PLC0415  takes seconds, and few sources need it

    class Adapter(tf_keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, user_layer: UserLayer) -> None:
            super().__init__(name=user_layer.name, dtype=user_layer.dtype)
            self.user_layer = user_layer
            self._layer: Any = None

        def build(self, shape: Any) -> None:
            with tf.init_scope():
                self._layer = self.user_layer.make(self.user_layer.name, shape)
            for variable in self._layer.weights:
                name, dtype = variable.path.replace("/", "_"), str(variable.dtype)
                self.add_weight(name=name, shape=variable.shape, dtype=dtype, trainable=variable.trainable)
            super().build(shape)

        def call(self, *args: Any, **kwargs: Any) -> Any:
            return self._layer(*args, **kwargs)

        def convert(self, name: str) -> Any:
            """Pass the loaded weights to the user's layer, and return one like it under another name."""
            self._layer.set_weights(self.get_weights())
            layer = self.user_layer.make(name, self.get_input_shape_at(0))
            layer.set_weights(self.get_weights())
            return layer

        def get_config(self) -> dict[str, Any]:
            return self.user_layer.config

        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            return cls(UserLayer(layer_class, config))

    Adapter.__name__ = Adapter.__qualname__ = layer_class.__name__
    return Adapter
