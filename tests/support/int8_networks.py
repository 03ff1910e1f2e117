"""Small networks that int8 cannot compute, except for some of their layers."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers
from support.shapes import write_images

__all__ = ["HARMED", "LAYERS", "harmed_network", "write_colors"]

LAYERS = ("first", "spread", "harmed", "third", "fourth", "last")
"""The layers that int8 can quantize, in the order of the network."""

HARMED = "harmed"
"""The layer that 8 bits are too few for."""

_SIDE, _CLASSES = 8, 3


def harmed_network() -> keras.Model:
    """Build a classifier of the strongest of three colors, one layer of which cannot be quantized.

    Each channel of that layer has a weight of a thousand times the others, which it multiplies with zero: its scale
    rounds all others to zero.
    """
    image = layers.Input((_SIDE, _SIDE, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(image)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="spread")(x)
    x = layers.Conv2D(8, 1, activation="relu", name=HARMED)(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="third")(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="fourth")(x)
    x = layers.Conv2D(8, 1, activation="relu", name="last")(x)
    model = keras.Model(image, layers.Dense(_CLASSES, "softmax")(layers.GlobalAveragePooling2D()(x)), name="harmed")
    for name in LAYERS:
        _pass_colors(model.get_layer(name))
    kernel, bias = model.get_layer(HARMED).get_weights()
    kernel[:, :, -1, :] = 1000  # of a channel that is always zero
    model.get_layer(HARMED).set_weights([kernel, bias])
    model.layers[-1].set_weights([20 * np.eye(8, _CLASSES), np.zeros(_CLASSES)])
    return model


def _pass_colors(layer: keras.layers.Layer) -> None:
    """Let the layer pass the first three channels, with a little of their neighbors, and make the last one zero."""
    kernel, bias = layer.get_weights()
    random = np.random.default_rng(len(layer.name))
    kernel = random.uniform(0, 0.05, kernel.shape)
    middle = kernel.shape[0] // 2
    if isinstance(layer, layers.DepthwiseConv2D):
        kernel[middle, middle] += 0.7
        kernel[:, :, -1] = 0
    else:
        kernel[middle, middle, : kernel.shape[2], : kernel.shape[3]] += 0.7 * np.eye(*kernel.shape[2:])
        kernel[..., -1] = 0
    layer.set_weights([kernel, bias])


def write_colors(folder: Path, number: int) -> Path:
    """Write images of one color each, red, green and blue in turn, with noise, and return their folder."""
    random = np.random.default_rng(0)
    images = random.integers(0, 90, (number, _SIDE, _SIDE, 3), dtype=np.uint8)
    images[np.arange(number), :, :, np.arange(number) % _CLASSES] += 150
    return write_images(images, folder)
