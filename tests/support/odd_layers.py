"""Custom layers and models, as users write them."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

__all__ = ["AlwaysDropout", "Backbone", "Block", "Gain", "OwnCall", "softmax"]


def softmax(x: Any) -> Any:
    """Compute another function than softmax, under its name."""
    return keras.ops.softmax(x / 10)


class OwnCall(keras.Model):  # type: ignore[misc]
    """A functional model with a different `call`."""

    def call(self, image: Any, training: bool | None = None) -> Any:
        return super().call(image, training=training) / 2 + 1 / 6


class AlwaysDropout(layers.Dropout):  # type: ignore[misc]
    """A subclass of Dropout that is not dropout."""

    def call(self, x: Any, training: bool | None = None) -> Any:
        return x * 0.5


class Backbone(keras.Model):  # type: ignore[misc]
    """A subclassed model, whose layers cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = layers.Conv2D(4, 3), layers.BatchNormalization()

    def call(self, image: Any, training: bool | None = None) -> Any:
        return keras.ops.relu(self.norm(self.convolution(image), training=training))


@keras.saving.register_keras_serializable("odd")
class Gain(layers.Layer):  # type: ignore[misc]
    """A registered layer with a weight."""

    def __init__(self, factor: float = 2.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.factor = factor

    def build(self, shape: tuple[int, ...]) -> None:
        self.gain = self.add_weight(shape=(shape[-1],), initializer="random_normal")

    def call(self, x: Any) -> Any:
        return x * (1 + self.gain) * self.factor

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


class Block(layers.Layer):  # type: ignore[misc]
    """A layer with inner layers, which its first call builds."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.convolution, self.norm = layers.Conv2D(4, 3), layers.BatchNormalization()

    def call(self, x: Any, training: bool | None = None) -> Any:
        return self.norm(self.convolution(x), training=training)
