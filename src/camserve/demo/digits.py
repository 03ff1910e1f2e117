"""The handwritten digits of scikit-learn as gray images of 28 x 28 pixels, and the training of a network on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from camserve.atomic import replace_file
from camserve.errors import ExportError

__all__ = ["Digits", "load_digits", "train", "write_images"]

_SIDE = 28
_MAX_VALUE = 16  # of the data set
_HELD_OUT = 0.2
_EPOCHS = 8
_SHIFT = 2
_SEED = 7


@dataclass(frozen=True)
class Digits:
    """Images and their classes, split into a training set and a test set.

    Attributes:
        images: Training images, uint8 `[count, 28, 28]`, white on black.
        classes: The digit of each training image.
        held_out_images: Test images, which are not used in training.
        held_out_classes: The digit of each test image.
    """

    images: npt.NDArray[np.uint8]
    classes: npt.NDArray[np.int64]
    held_out_images: npt.NDArray[np.uint8]
    held_out_classes: npt.NDArray[np.int64]


def load_digits() -> Digits:
    """Load the 1,797 digits of scikit-learn; a fixed fifth of each class is the test set.

    Raises:
        ExportError: If scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
        from sklearn.model_selection import train_test_split
    except ImportError:
        raise ExportError("the demo requires scikit-learn", hint="Install it: pip install 'camserve[demo]'") from None
    data = datasets.load_digits()
    images = np.stack([_resize(image) for image in data.images])
    parts = train_test_split(images, data.target, test_size=_HELD_OUT, stratify=data.target, random_state=_SEED)
    training, held_out, training_classes, held_out_classes = parts
    return Digits(training, training_classes, held_out, held_out_classes)


def train(build: Callable[[], Any], digits: Digits) -> Any:
    """Build a network and train it, with images randomly shifted by up to 2 pixels in each epoch.

    Args:
        build: Returns a Keras classifier for `[batch, 28, 28, 1]` pixels divided by 255.
        digits: The training set.
    """
    from camserve.export.frameworks import keras

    keras.utils.set_random_seed(_SEED)  # also for the initial weights
    network = build()
    rng = np.random.default_rng(_SEED)
    steps = _EPOCHS * len(digits.images) // 32
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    network.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    for _ in range(_EPOCHS):
        shifted = np.stack([_shift(image, rng) for image in digits.images])
        inputs = shifted[..., np.newaxis].astype(np.float32) / 255.0
        network.fit(inputs, digits.classes, batch_size=32, epochs=1, verbose=0)
    return network


def write_images(images: npt.NDArray[np.uint8], classes: npt.NDArray[np.int64], folder: Path) -> list[Path]:
    """Write each image as a PNG file, named after its number and its digit."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:04d}-is-{digit}.png" for number, digit in enumerate(classes)]
    for path, image in zip(paths, images, strict=True):
        with replace_file(path) as replacement:
            Image.fromarray(image).save(replacement.stream, "PNG")
    return paths


def _resize(image: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    small = Image.fromarray((image * (255 / _MAX_VALUE)).astype(np.uint8))
    return np.asarray(small.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC))


def _shift(image: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    padded = np.pad(image, _SHIFT)
    down, right = rng.integers(0, 2 * _SHIFT + 1, 2)
    return padded[down : down + _SIDE, right : right + _SIDE]
