"""Train networks of `keras.applications` on drawn shapes of 96×96 pixels, from random weights.

Usage: python benchmarks/drawn_networks.py FOLDER [NAME ...]      (5 to 20 minutes per network on two idle cores)

The 12 classes are the 6 shapes of the tests in two kinds, light on dark and dark on light, in any of four rotations.
Most of the training is on images of 64×64 pixels, at less than half the cost. A network that `FOLDER` contains is not
trained again.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import keras
import numpy as np
import numpy.typing as npt
from PIL import Image
from support import shapes

__all__ = ["CLASSES", "PRESETS", "SIDE", "draw", "inputs", "load_or_train"]

SIDE = 96


class _Stage(NamedTuple):
    side: int
    images: int
    learning_rate: float


PRESETS = {"MobileNetV3Small": "raw-rgb", "MobileNetV2": "tf", "EfficientNetB0": "raw-rgb"}
"""The preprocessing of each network: the first and the last contain theirs."""

CLASSES = tuple(f"{kind} {shape}" for kind in ("light", "dark") for shape in shapes.SHAPES)

_STAGES = (_Stage(64, 20480, 2e-3), _Stage(96, 8192, 7e-4))
_LONGER_STAGES = {"EfficientNetB0": (_Stage(64, 65536, 2e-3), _Stage(96, 12288, 7e-4))}
_BATCH = 32
_DRAWN_AT_ONCE = 2048
_WARM_UP = 60  # steps
_HELD_OUT_SEED = 900

Pixels = npt.NDArray[np.uint8]


def draw(count: int, seed: int, side: int = SIDE) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Draw images and return them with their classes.

    Returns:
        uint8 RGB `[count, side, side, 3]`, and indices into `CLASSES`, `[count]`.
    """
    drawn = shapes.draw(count, seed)
    rng = np.random.default_rng(seed)
    turns, dark = rng.integers(0, 4, count), rng.permutation(np.arange(count) % 2)
    pixels = [np.rot90(image, turn) for image, turn in zip(drawn.images, turns, strict=True)]
    if side != shapes.SIDE:
        pixels = [np.asarray(Image.fromarray(image).resize((side, side))) for image in pixels]
    images = np.stack(pixels)
    images[dark == 1] = 255 - images[dark == 1]
    return images, drawn.classes + len(shapes.SHAPES) * dark


def inputs(name: str, images: Pixels) -> npt.NDArray[np.float32]:
    """Return images as the network's input."""
    pixels = images.astype(np.float32)
    return pixels / np.float32(127.5) - 1 if PRESETS[name] == "tf" else pixels


def _train(name: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    network = _build(name, SIDE)
    for number, stage in enumerate(_LONGER_STAGES.get(name, _STAGES), 1):
        resized = _build(name, stage.side)
        resized.set_weights(network.get_weights())
        network = resized
        _fit(network, name, stage, first_seed=1000 * number)
    return network


def _build(name: str, side: int) -> keras.Model:
    network = getattr(keras.applications, name)(
        input_shape=(side, side, 3), weights=None, classes=len(CLASSES), classifier_activation="softmax"
    )
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # so that the statistics converge in a short training
        elif isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0  # only a long training needs it
    return network


def _fit(network: keras.Model, name: str, stage: _Stage, *, first_seed: int) -> None:
    side, count, rate = stage
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / 100, count // _BATCH - _WARM_UP, warmup_target=rate, warmup_steps=_WARM_UP
    )
    network.compile(
        keras.optimizers.Adam(schedule, beta_2=0.99),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    start = time.perf_counter()
    for part in range(count // _DRAWN_AT_ONCE):
        images, classes = draw(_DRAWN_AT_ONCE, first_seed + part, side)
        fitted = network.fit(inputs(name, images), classes, batch_size=_BATCH, verbose=0)
        loss, correct = fitted.history["loss"][0], fitted.history["accuracy"][0]
        seconds, done = time.perf_counter() - start, (part + 1) * _DRAWN_AT_ONCE
        line = f"{name} {side}x{side}: {done} images, {seconds:.0f} s, loss {loss:.3f}, {correct:.1%} correct"
        print(line, file=sys.stderr, flush=True)


def load_or_train(name: str, folder: Path) -> keras.Model:
    """Load a network of `PRESETS` from the folder, or train it and save it there."""
    path = folder / f"{name}.keras"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _train(name).save(path)
    return keras.models.load_model(path)


def main() -> None:
    """Train the networks that the folder lacks and print their accuracy on held-out drawings."""
    images, classes = draw(2000, _HELD_OUT_SEED)
    for name in sys.argv[2:] or PRESETS:
        network = load_or_train(name, Path(sys.argv[1]))
        answers = network.predict(inputs(name, images), batch_size=64, verbose=0).argmax(axis=1)
        print(f"{name}: {np.mean(answers == classes):.2%} correct", flush=True)


if __name__ == "__main__":
    main()
