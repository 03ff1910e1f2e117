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
    """Gives every BatchNorm statistics as training would, and lets the logits differ from image to image.

    The softmax of a random network is saturated or flat, and its features hardly change with the image; then parity
    says nothing of an error.
    """
    _, height, width, channels = model.input_shape
    images = normalize(sample_pictures(8, height, width, channels), preprocessing)
    _measure_statistics(model, images)
    _vary_norms(model, np.random.default_rng(seed))
    last = model.layers[-1]
    features = np.asarray(keras.Model(model.input, last.input)(images, training=False))
    kernel, _ = last.get_weights()
    kernel *= 2.0 / (features @ kernel).std(axis=0).mean()
    last.set_weights([kernel, -(features @ kernel).mean(axis=0)])
    return model


def _norms(model: keras.Model) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]


def _measure_statistics(model: keras.Model, images: Any) -> None:
    momenta = [norm.momentum for norm in _norms(model)]
    for norm in _norms(model):
        norm.momentum = 0.0  # the moving statistics become those of this batch
    model(images, training=True)
    for norm, momentum in zip(_norms(model), momenta, strict=True):
        norm.momentum = momentum


def _vary_norms(model: keras.Model, rng: np.random.Generator) -> None:
    for norm in _norms(model):
        size = norm.moving_mean.shape
        norm.gamma.assign(rng.uniform(0.5, 1.5, size))
        norm.beta.assign(rng.normal(0, 0.2, size))
        norm.moving_variance.assign(norm.moving_variance * rng.uniform(0.8, 1.25, size))
