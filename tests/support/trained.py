"""Networks trained in minutes on two cores, with calibration images and held-out images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers
from support import comparison, shapes
from support.weight_cache import load_or_train

from camserve.contract import Preprocessing
from camserve.demo import digits
from camserve.export import RECIPES
from camserve.pixels import normalize

__all__ = ["EXPORTS", "NETWORKS", "Trained", "digits_network", "network_of_shapes", "shapes_network", "train_digits"]

_HELD_OUT = 1200
_CALIBRATION = 400
_HELD_OUT_SEED, _CALIBRATION_SEED = 900_001, 900_002  # outside the range of the training seeds

_BATCH = 16  # small batches, because a short training needs many steps
_DRAWN_AT_ONCE = 1024
_JOINING_GAMMA = 0.1


@dataclass(frozen=True)
class Trained:
    """A trained network with its images.

    Attributes:
        network: The network.
        preprocessing: Its preprocessing.
        calibration: Calibration images, uint8 `[count, height, width, channels]`.
        images: Held-out images, uint8 `[count, height, width, channels]`.
        classes: Their classes, `[count]`.
        masks: Pixels of the object, bool `[count, height, width]`, or None if unknown.
    """

    network: keras.Model
    preprocessing: Preprocessing
    calibration: npt.NDArray[np.uint8]
    images: npt.NDArray[np.uint8]
    classes: npt.NDArray[np.int64]
    masks: npt.NDArray[np.bool_] | None = None

    @cached_property
    def inputs(self) -> npt.NDArray[np.float32]:
        """Return the preprocessed held-out images."""
        return normalize(self.images, self.preprocessing)

    @cached_property
    def outputs(self) -> comparison.Outputs:
        """Return the outputs of Keras for the held-out images."""
        return comparison.run_keras(self.network, self.inputs)

    @property
    def bias(self) -> npt.NDArray[np.float32]:
        """Return the bias of the linear head, `[classes]`."""
        return np.asarray(self.network.layers[-1].bias)

    @property
    def accuracy(self) -> float:
        """Return the share of the held-out images that Keras classifies correctly."""
        return float(np.mean(self.outputs.classes == self.classes))


@cache
def digits_network() -> Trained:
    """Train `resnet-mini` on handwritten digits, as the demo does."""
    recipe, data = RECIPES["resnet-mini"], digits.load_digits()
    network = train_digits(recipe.build, data)
    calibration, held_out = data.images[:_CALIBRATION, ..., np.newaxis], data.held_out_images[..., np.newaxis]
    return Trained(network, recipe.preprocessing, calibration, held_out, data.held_out_classes)


def train_digits(build: Callable[[], keras.Model], data: digits.Digits) -> keras.Model:
    """Train a network on handwritten digits as the demo does, once for all tests."""
    return load_or_train("digits", build, lambda: digits.train(build, data))


@cache
def shapes_network() -> Trained:
    """Train `resnet50-signs` on drawn shapes."""
    preprocessing = RECIPES["resnet50-signs"].preprocessing
    calibration = shapes.draw(_CALIBRATION, _CALIBRATION_SEED).images
    held_out = shapes.draw(_HELD_OUT, _HELD_OUT_SEED)
    network = load_or_train("shapes", RECIPES["resnet50-signs"].build, lambda: network_of_shapes(0))
    return Trained(network, preprocessing, calibration, held_out.images, held_out.classes, held_out.masks)


def network_of_shapes(seed: int) -> keras.Model:
    """Build and train `resnet50-signs` on newly drawn images.

    First, only the first block of each stage is trained, at two fifths of the cost. Then the blocks with identity
    shortcuts are added with small last gammas, so that they change the output little at first.

    Source: Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 5.1, where these gammas are initialized to 0.
    """
    keras.utils.set_random_seed(seed)
    growing = RECIPES["resnet50-signs"].build()
    for layer in growing.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.9  # so that the statistics converge in a short training
            if layer.name.endswith("_3_bn"):
                layer.gamma.assign(np.full(layer.gamma.shape, _JOINING_GAMMA))
    growing.layers[-1].kernel.assign(np.zeros(growing.layers[-1].kernel.shape))
    _fit(_without_identity_blocks(growing), 8192, rate=2e-3, seed=2 * seed)
    _fit(growing, 3072, rate=1e-3, seed=2 * seed + 1)
    network = RECIPES["resnet50-signs"].build()  # new layers, which no other network calls
    network.set_weights(growing.get_weights())
    return network


def _fit(network: keras.Model, count: int, *, rate: float, seed: int) -> None:
    warm_up = 20
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / 100, count // _BATCH - warm_up, warmup_target=rate, warmup_steps=warm_up
    )
    # On two cores XLA trains 14 images of 64x64 a second, TensorFlow without it 55.
    network.compile(keras.optimizers.Adam(schedule, beta_2=0.99), "sparse_categorical_crossentropy", jit_compile=False)
    for part in range(count // _DRAWN_AT_ONCE):
        drawn = shapes.draw(_DRAWN_AT_ONCE, 100 * seed + part)
        network.fit(drawn.images / np.float32(255), drawn.classes, batch_size=_BATCH, verbose=0)


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


NETWORKS = {"digits": digits_network, "shapes": shapes_network}

EXPORTS: dict[str, dict[str, Any]] = {
    "fp32": {"precision": "fp32"},
    "fp16": {"precision": "fp16"},
    "int8": {"precision": "int8"},
    "int8-tensorrt": {"precision": "int8", "int8_target": "tensorrt"},
}
"""The exports of each network by a short name: keywords of `export_model`."""
