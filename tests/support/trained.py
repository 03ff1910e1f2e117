"""Networks trained in a minute, or `signs` in minutes, on two cores, with calibration images and held-out images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from support import comparison, shapes, training
from support.weight_cache import load_or_train

from camserve.contract import Preprocessing
from camserve.demo import digits
from camserve.export import RECIPES
from camserve.pixels import normalize

__all__ = ["EXPORTS", "NETWORKS", "Trained", "digits_network", "shapes_network", "signs_network", "train_digits"]

_HELD_OUT = 1200
_CALIBRATION = 400
_HELD_OUT_SEED, _CALIBRATION_SEED = 900_001, 900_002  # outside the range of the training seeds


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
    """Train a small residual network on distinct drawn shapes."""
    return _on_shapes("shapes", training.build_small_network, training.train_small_network, shapes.DISTINCT_SHAPES)


@cache
def signs_network() -> Trained:
    """Train `resnet50-signs` on all drawn shapes."""
    return _on_shapes("signs", RECIPES["resnet50-signs"].build, training.train_signs_network, shapes.SHAPES)


def _on_shapes(
    name: str, build: Callable[[], keras.Model], train: Callable[[], keras.Model], drawn: tuple[str, ...]
) -> Trained:
    calibration = shapes.draw(_CALIBRATION, _CALIBRATION_SEED, drawn).images
    held_out = shapes.draw(_HELD_OUT, _HELD_OUT_SEED, drawn)
    network = load_or_train(name, build, train)
    return Trained(
        network, RECIPES["resnet50-signs"].preprocessing, calibration, held_out.images, held_out.classes, held_out.masks
    )


NETWORKS = {"digits": digits_network, "shapes": shapes_network, "signs": signs_network}

EXPORTS: dict[str, dict[str, Any]] = {
    "fp32": {"precision": "fp32"},
    "fp16": {"precision": "fp16"},
    "int8": {"precision": "int8"},
    "int8-tensorrt": {"precision": "int8", "int8_target": "tensorrt"},
}
"""The exports of each network by a short name: keywords of `export_model`."""
