"""Training of residual networks on drawn shapes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers
from support import shapes

from camserve.export import RECIPES
from camserve.export.source import residual

__all__ = ["build_small_network", "train_signs_network", "train_small_network"]

_DRAWN_AT_ONCE = 1024
_JOINING_GAMMA = 0.1


def build_small_network() -> keras.Model:
    """Build a residual network like `resnet50-signs` with a quarter of its filters and a third of its blocks."""
    image = layers.Input((shapes.SIDE, shapes.SIDE, 3))
    x = layers.Conv2D(32, 7, strides=2, padding="same", kernel_initializer="he_normal", name="conv1")(image)
    x = layers.BatchNormalization(name="bn_conv1")(x)
    x = layers.Activation("relu", name="relu1")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    x = residual.stage(x, (16, 16, 64), blocks=1, stride=1, name="stage2")
    x = residual.stage(x, (32, 32, 128), blocks=1, stride=2, name="stage3")
    x = residual.stage(x, (64, 64, 256), blocks=2, stride=2, name="stage4")
    x = residual.stage(x, (128, 128, 512), blocks=1, stride=1, name="stage5")
    x = layers.AveragePooling2D(x.shape[1], name="avg_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    return keras.Model(image, layers.Dense(len(shapes.DISTINCT_SHAPES), "softmax", name="classes")(x))


def train_small_network() -> keras.Model:
    """Train the small network on the distinct shapes."""
    keras.utils.set_random_seed(0)
    network = build_small_network()
    _prepare(network)
    _fit(network, 5120, shapes.DISTINCT_SHAPES, rate=2e-3, batch=16, seed=0)
    return network


def train_signs_network() -> keras.Model:
    """Train `resnet50-signs` on all shapes.

    First, only the first block of each stage is trained, at two fifths of the cost. Then the blocks with identity
    shortcuts are added with small last gammas, so that they change the output little at first.

    Source: Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 5.1, where these gammas are initialized to 0.
    """
    keras.utils.set_random_seed(0)
    growing = RECIPES["resnet50-signs"].build()
    _prepare(growing)
    # Small batches, because a short training needs many steps.
    _fit(_without_identity_blocks(growing), 8192, shapes.SHAPES, rate=2e-3, batch=16, seed=0)
    _fit(growing, 3072, shapes.SHAPES, rate=1e-3, batch=16, seed=1)
    network = RECIPES["resnet50-signs"].build()  # new layers, which no other network calls
    network.set_weights(growing.get_weights())
    return network


def _prepare(network: keras.Model) -> None:
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.9  # so that the statistics converge in a short training
            if layer.name.endswith("_3_bn"):
                layer.gamma.assign(np.full(layer.gamma.shape, _JOINING_GAMMA))
    network.layers[-1].kernel.assign(np.zeros(network.layers[-1].kernel.shape))


def _fit(network: keras.Model, count: int, names: tuple[str, ...], *, rate: float, batch: int, seed: int) -> None:
    warm_up = 20
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / 100, count // batch - warm_up, warmup_target=rate, warmup_steps=warm_up
    )
    # On two cores XLA trains 14 images of 64x64 a second, TensorFlow without it 55.
    network.compile(keras.optimizers.Adam(schedule, beta_2=0.99), "sparse_categorical_crossentropy", jit_compile=False)
    for part in range(count // _DRAWN_AT_ONCE):
        drawn = shapes.draw(_DRAWN_AT_ONCE, 100 * seed + part, names)
        network.fit(drawn.images / np.float32(255), drawn.classes, batch_size=batch, verbose=0)


def _without_identity_blocks(network: keras.Model) -> keras.Model:
    """Return a network of the same layers with only the first block of each stage."""
    x = network.get_layer("stage2_block1_out").output
    for stage in (3, 4, 5):
        block = f"stage{stage}_block1"
        branch = [f"{block}_{index}_{kind}" for index in (1, 2, 3) for kind in ("conv", "bn", "relu")]
        y = _call_layers(network, branch[:-1], x)
        shortcut = _call_layers(network, [f"{block}_0_conv", f"{block}_0_bn"], x)
        x = _call_layers(network, [f"{block}_add", f"{block}_out"], [y, shortcut])
    return keras.Model(network.input, _call_layers(network, ["avg_pool", "flatten", "fc6"], x))


def _call_layers(network: keras.Model, names: list[str], x: Any) -> Any:
    for name in names:
        x = network.get_layer(name)(x)
    return x
