"""Networks for tests, with weights that show errors: BatchNorm that does something, logits that differ by image."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from camserve.contract import Preprocessing
from camserve.export.samples import sample_pictures
from camserve.pixels import normalize


def small_network(pooling: str = "average", *, activation: str = "softmax", classes: int = 6) -> keras.Model:
    """Two convolutions with BatchNorm, 16x16x3 to 8x8 features, and the head asked for."""
    image = layers.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same", name="conv1")(image)
    x = layers.BatchNormalization(name="bn1")(x)
    x = layers.Activation("relu", name="relu1")(x)
    x = layers.Conv2D(12, 3, strides=2, padding="same", use_bias=False, name="conv2")(x)
    x = layers.BatchNormalization(name="bn2")(x)
    x = layers.Activation("relu", name="features")(x)
    x = head(x, pooling)
    x = layers.Dropout(0.5, name="dropout")(x)
    return keras.Model(image, layers.Dense(classes, activation, name="classes")(x), name=f"small-{pooling}")


def head(features: Any, pooling: str) -> Any:
    """From features to the vector that the last layer takes."""
    if pooling == "global-average":
        return layers.GlobalAveragePooling2D(name="pool")(features)
    if pooling == "average":
        features = layers.AveragePooling2D(4, name="pool")(features)
    return layers.Flatten(name="flatten")(features)


def enliven(model: keras.Model, preprocessing: Preprocessing, seed: int = 0) -> keras.Model:
    """Gives every BatchNorm statistics of its own, and centres and widens the logits on sample pictures.

    The softmax of a random network is saturated or flat; then it says nothing of an error.
    """
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            size = layer.moving_mean.shape
            figures = {
                "gamma": rng.uniform(0.5, 1.5, size),
                "beta": rng.normal(0, 0.2, size),
                "moving_mean": rng.normal(0, 0.2, size),
                "moving_variance": rng.uniform(0.5, 2.0, size),
            }
            for name, value in figures.items():
                getattr(layer, name).assign(value)
    _, height, width, channels = model.input_shape
    images = normalize(sample_pictures(8, height, width, channels), preprocessing)
    last = model.layers[-1]
    bare = keras.Model(model.input, last.input)
    kernel, bias = last.get_weights()
    logits = np.asarray(bare(images.astype(model.inputs[0].dtype), training=False)) @ kernel
    kernel = kernel * 2.0 / logits.std(axis=0).mean()
    logits = logits * 2.0 / logits.std(axis=0).mean()
    last.set_weights([kernel, bias - logits.mean(axis=0)])
    return model
