"""Images of a square in red, green or blue, and a classifier of its color whose weights are set by hand."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
from keras import layers
from PIL import Image

__all__ = ["COLORS", "SIDE", "color_network", "draw_squares", "write_squares"]

COLORS = ("red", "green", "blue")
SIDE = 32
_SQUARE = 10
_CELL = 4


def color_network() -> keras.Model:
    """Build a classifier with a grid of 8x8 cells, which counts cells that are clearly of one color.

    In a blurred image no cell is, so that all classes are equally probable.
    """
    image = layers.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(3, _CELL, strides=_CELL, activation="relu", name="colors")(image)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(3, "softmax", name="classes")(x), name="squares")
    own = (1.5 * np.eye(3) - 0.5) / _CELL**2
    model.get_layer("colors").set_weights([np.tile(own, (_CELL, _CELL, 1, 1)), np.full(3, -0.55)])
    model.get_layer("classes").set_weights([200 * np.eye(3), np.zeros(3)])
    return model


def draw_squares(
    count: int, seed: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], list[tuple[int, int, int, int]]]:
    """Draw a square on gray noise: images `[count, 32, 32, 3]`, their classes, and left, top, right and bottom."""
    random = np.random.default_rng(seed)
    images = random.integers(80, 120, (count, SIDE, SIDE, 3), np.uint8)
    classes = np.arange(count) % len(COLORS)
    boxes = []
    for image, color in zip(images, classes, strict=True):
        left, top = (int(corner) for corner in random.integers(0, SIDE - _SQUARE, 2))
        image[top : top + _SQUARE, left : left + _SQUARE] = np.where(np.arange(3) == color, 230, 25)
        boxes.append((left, top, left + _SQUARE, top + _SQUARE))
    return images, classes, boxes


def write_squares(folder: Path, count: int, seed: int) -> Path:
    """Write images with twice their height and width, and a file of boxes, which is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["path,class,xmin,ymin,xmax,ymax"]
    for number, (image, color, box) in enumerate(zip(*draw_squares(count, seed), strict=True)):
        Image.fromarray(image).resize((2 * SIDE, 2 * SIDE), Image.Resampling.NEAREST).save(folder / f"{number}.png")
        lines.append(",".join([f"{number}.png", COLORS[color], *(str(2 * side) for side in box)]))
    path = folder / "boxes.csv"
    path.write_text("\n".join(lines) + "\n")
    return path
