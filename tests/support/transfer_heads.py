"""Classifiers as transfer learning makes them: a backbone as a layer, and one of the usual heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import keras
from keras import layers
from support.networks import enliven

from camserve.contract import PRESETS

__all__ = ["HEADS", "SIDE", "TransferHead", "backbone", "chain", "dense", "joined", "write_teachable_machine"]

SIDE = 16
CLASSES = 4
BIASES = keras.initializers.RandomNormal(stddev=0.1, seed=0)
"""Of hidden layers: with biases of zero, as Keras initializes them, the sum of a map would still give the logit."""

Chain = Callable[[Any], Any]


@dataclass(frozen=True)
class TransferHead:
    """A head after a backbone.

    Attributes:
        method: How its maps are computed.
        hidden: From the features of the backbone to what the last Dense layer reads.
        activation: Of the last layer.
        classes: Its number of units.
        use_bias: Whether it has a bias.
    """

    method: Literal["linear", "gradient"]
    hidden: Chain
    activation: str = "softmax"
    classes: int = CLASSES
    use_bias: bool = True

    def classifier(self, body: keras.Model | None = None, seed: int = 0) -> keras.Model:
        """Build the classifier with random weights, on a small backbone by default."""
        keras.utils.set_random_seed(seed)
        body = backbone() if body is None else body
        image = layers.Input(body.input_shape[1:])
        last = layers.Dense(self.classes, self.activation, use_bias=self.use_bias, name="classes")
        model = keras.Model(image, last(self.hidden(body(image, training=False))), name="transfer")
        return enliven(model, PRESETS["unit"], seed)


def backbone() -> keras.Model:
    """Build a network without top: 4x4 features of 16x16 images."""
    image = layers.Input((SIDE, SIDE, 3))
    x = image
    for filters in (8, 12):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    return keras.Model(image, x, name="backbone")


def chain(*parts: Any) -> Chain:
    """Return the application of several layers, one after the other."""

    def apply(x: Any) -> Any:
        for part in parts:
            x = part()(x)
        return x

    return apply


def joined(x: Any) -> Any:
    """Concatenate average and maximum pooling."""
    return layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])


def dense(units: int, activation: str | None = "relu") -> Callable[[], Any]:
    return partial(layers.Dense, units, activation, bias_initializer=BIASES)


average, largest = layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D
kept = partial(layers.GlobalAveragePooling2D, keepdims=True)
dropout, norm, flatten = partial(layers.Dropout, 0.3), layers.BatchNormalization, layers.Flatten
hidden = chain(average, dense(16), dropout)

HEADS: dict[str, TransferHead] = {
    "GlobalAveragePooling, Dropout, Dense": TransferHead("linear", chain(average, dropout)),
    "GlobalAveragePooling, BatchNorm, Dense": TransferHead("linear", chain(average, norm, dropout)),
    "AveragePooling (4x4), Flatten, Dense": TransferHead("linear", chain(partial(layers.AveragePooling2D, 4), flatten)),
    "Flatten, Dense": TransferHead("linear", flatten()),
    "GlobalAveragePooling, Dense + ReLU, Dropout, Dense": TransferHead("gradient", hidden),
    "AveragePooling (2x2), Flatten, Dense + ReLU, Dropout, Dense": TransferHead(
        "gradient", chain(partial(layers.AveragePooling2D, 2), flatten, dense(16), dropout)
    ),
    "GlobalAveragePooling, BatchNorm, Dense + ReLU, BatchNorm, Dropout, Dense": TransferHead(
        "gradient", chain(average, norm, dense(16), norm, dropout)
    ),
    "GlobalAveragePooling, Dense, BatchNorm, ReLU, Dense": TransferHead(
        "gradient", chain(average, dense(16, None), norm, layers.ReLU)
    ),
    "GlobalAveragePooling, LayerNorm, Dense + GELU, Dense": TransferHead(
        "gradient", chain(average, layers.LayerNormalization, dense(16, "gelu"))
    ),
    "GlobalMaxPooling, Dense": TransferHead("gradient", chain(largest, dropout)),
    "GlobalMaxPooling, Dense + ReLU, Dense": TransferHead("gradient", chain(largest, dense(16))),
    "average and maximum joined, BatchNorm, Dense + ReLU, Dense": TransferHead(
        "gradient", lambda x: chain(norm, dropout, dense(16))(joined(x))
    ),
    "Flatten, Dense + ReLU, Dense + ReLU, Dense": TransferHead("gradient", chain(flatten, dense(24), dense(16))),
    "1x1 convolution + hard swish, Flatten, Dense": TransferHead(
        "gradient", chain(kept, partial(layers.Conv2D, 16, 1, activation="hard_silu", bias_initializer=BIASES), flatten)
    ),
    "Teachable Machine's: Dense + ReLU, Dense without bias": TransferHead(
        "gradient", chain(average, dense(100)), use_bias=False
    ),
    "several labels: Dense + ReLU, Dense + sigmoid": TransferHead("gradient", hidden, "sigmoid"),
    "one sigmoid, two labels: Dense + ReLU, Dense + sigmoid": TransferHead("gradient", hidden, "sigmoid", 1),
}
"""The heads by what they consist of."""


def write_teachable_machine(path: Path) -> None:
    """Write a file in the format of Teachable Machine: HDF5 of Keras 2, of two nested Sequential models."""
    import tf_keras

    old = tf_keras.layers
    tf_keras.utils.set_random_seed(0)
    image = old.Input((SIDE, SIDE, 3))
    x = old.ReLU(6.0)(old.BatchNormalization()(old.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(image)))
    x = old.ReLU(6.0)(old.BatchNormalization()(old.DepthwiseConv2D(3, padding="same", use_bias=False)(x)))
    features = tf_keras.Sequential([tf_keras.Model(image, x), old.GlobalAveragePooling2D()])
    classes = tf_keras.Sequential(
        [old.Dense(100, "relu", input_shape=(8,)), old.Dense(CLASSES, "softmax", use_bias=False)]
    )
    tf_keras.Sequential([features, classes]).save(path)
