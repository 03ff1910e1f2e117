"""Networks for tests, with weights that show errors: BatchNorm that does something, logits that differ by image."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from camserve.contract import Preprocessing
from camserve.export.samples import sample_pictures
from camserve.pixels import normalize

_SPREAD = 0.7  # standard deviation of a logit over images: probabilities well apart, and rounding under half its bound


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
    """Gives the network what training would: BatchNorm statistics, and logits that differ from image to image.

    The softmax of a random network is saturated or flat, and its features hardly change with the image; then parity
    says nothing of an error. A deep random network also multiplies float32 rounding, as no trained one does whose
    residual branches add little to their shortcuts.
    """
    _, height, width, channels = model.input_shape
    images = normalize(sample_pictures(8, height, width, channels), preprocessing)
    rng = np.random.default_rng(seed)
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    for norm in norms:
        size = norm.moving_mean.shape
        ends_a_branch = norm.name.endswith("_3_bn")
        norm.gamma.assign(rng.uniform(0.5, 1.5, size) * (0.2 if ends_a_branch else 1.0))
        norm.beta.assign(rng.normal(0, 0.2, size))
    _measure_statistics(model, norms, images)
    for norm in norms:
        norm.moving_variance.assign(norm.moving_variance * rng.uniform(0.8, 1.25, norm.moving_mean.shape))
    _spread_logits(model, images)
    return model


def _measure_statistics(model: keras.Model, norms: list[Any], images: Any) -> None:
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # the moving statistics become those of this batch
    model(images, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _spread_logits(model: keras.Model, images: Any) -> None:
    last = model.layers[-1]
    features = np.asarray(keras.Model(model.input, last.input)(images, training=False))
    kernel, _ = last.get_weights()
    kernel *= _SPREAD / (features @ kernel).std(axis=0).mean()
    last.set_weights([kernel, -(features @ kernel).mean(axis=0)])
