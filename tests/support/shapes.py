"""Images of drawn shapes at random positions, with known class and mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["DISTINCT_SHAPES", "SHAPES", "SIDE", "Drawn", "draw", "write_images"]

SHAPES = ("disc", "ring", "square", "triangle", "cross", "star")
DISTINCT_SHAPES = ("disc", "ring", "triangle", "cross")
"""Shapes that a small network distinguishes after a short training."""

SIDE = 64

_RADII = (12.0, 19.0)  # of the circle around a shape, in pixels
_MAX_ROTATION = 0.2  # radians
_DARK = 130.0  # maximum of a background in any channel, before noise
_LIGHT = 120.0  # minimum of a shape in any channel
_MIN_CONTRAST = 70.0  # between the brightness of a shape and its background
_BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601

Array = Any  # the type that numpy functions return


@dataclass(frozen=True)
class Drawn:
    """Images of one shape each.

    Attributes:
        images: uint8 RGB `[count, 64, 64, 3]`.
        classes: Index into the drawn shapes, `[count]`.
        masks: Pixels of the shape, bool `[count, 64, 64]`.
    """

    images: npt.NDArray[np.uint8]
    classes: npt.NDArray[np.int64]
    masks: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.classes)


def draw(count: int, seed: int, names: tuple[str, ...] = SHAPES) -> Drawn:
    """Draw light shapes of random size, position and color on darker backgrounds with waves and noise.

    Args:
        count: Number of images; each shape occurs equally often.
        seed: Random seed; the images depend only on it, the count and the shapes.
        names: The shapes, a selection of `SHAPES`.
    """
    rng = np.random.default_rng(seed)
    classes = rng.permutation(np.arange(count) % len(names))
    distances = _distances(classes, names, rng)
    backgrounds = _backgrounds(count, rng)
    fill = _fills(backgrounds, distances < 0, rng)
    ink = np.clip(0.5 - distances, 0, 1)[..., np.newaxis]  # soft edges, one pixel wide
    grain = rng.standard_normal(backgrounds.shape, np.float32) * rng.uniform(1, 8, (count, 1, 1, 1)).astype(np.float32)
    images = backgrounds + ink * (fill - backgrounds) + grain
    return Drawn(np.clip(np.round(images), 0, 255).astype(np.uint8), classes, distances < 0)


def write_images(images: npt.NDArray[np.uint8], folder: Path) -> Path:
    """Write each image, RGB or gray, as a PNG file, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image.squeeze()).save(folder / f"{number:04d}.png")
    return folder


def _distances(classes: Array, names: tuple[str, ...], rng: np.random.Generator) -> Array:
    """Return the distance of each pixel's center from its image's shape, in pixels; negative inside."""
    count = len(classes)
    radii = rng.uniform(*_RADII, count)
    down, across = rng.uniform(radii + 1, SIDE - 1 - radii, (2, count))
    rotations = rng.uniform(-_MAX_ROTATION, _MAX_ROTATION, count)
    middles = np.arange(SIDE, dtype=np.float32) + 0.5
    rows = np.broadcast_to(middles[:, np.newaxis], (count, SIDE, SIDE)) - _each(down)
    columns = np.broadcast_to(middles, (count, SIDE, SIDE)) - _each(across)
    x = _each(np.cos(rotations)) * columns + _each(np.sin(rotations)) * rows
    y = _each(np.cos(rotations)) * rows - _each(np.sin(rotations)) * columns
    distances = np.empty_like(x)
    for index, name in enumerate(names):
        chosen = classes == index
        distances[chosen] = _OUTLINES[name](x[chosen], y[chosen], _each(radii[chosen]))
    return distances


def _each(values: Array) -> Array:
    """Reshape one value per image so that it broadcasts over its pixels."""
    return np.asarray(values, np.float32)[:, np.newaxis, np.newaxis]


def _disc(x: Array, y: Array, radius: Array) -> Array:
    return np.hypot(x, y) - radius


def _ring(x: Array, y: Array, radius: Array) -> Array:
    return np.abs(np.hypot(x, y) - 0.78 * radius) - 0.22 * radius


def _square(x: Array, y: Array, radius: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - radius * np.float32(np.sqrt(0.5))


def _triangle(x: Array, y: Array, radius: Array) -> Array:
    slanted = np.abs(x) * np.float32(np.sqrt(0.75)) - 0.5 * y
    return np.maximum(slanted, y) - 0.5 * radius


def _cross(x: Array, y: Array, radius: Array) -> Array:
    long, short = 0.95 * radius, 0.3 * radius
    horizontal = np.maximum(np.abs(x) - long, np.abs(y) - short)
    vertical = np.maximum(np.abs(x) - short, np.abs(y) - long)
    return np.minimum(horizontal, vertical)


def _star(x: Array, y: Array, radius: Array) -> Array:
    """Return the distance from a five-pointed star: one edge, mirrored and repeated around the center."""
    half = np.pi / 5
    angle = np.abs((np.arctan2(x, -y) + half) % (2 * half) - half)
    distance = np.hypot(x, y)
    inner = 0.42
    along, across = np.array([inner * np.cos(half) - 1, inner * np.sin(half)])
    length = np.hypot(along, across)
    outside = (distance * np.cos(angle) - radius) * across - distance * np.sin(angle) * along
    return np.asarray(outside / length, np.float32)


_OUTLINES: dict[str, Callable[[Array, Array, Array], Array]] = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "star": _star,
}


def _backgrounds(count: int, rng: np.random.Generator) -> Array:
    """Return backgrounds of two colors blended in slanted waves, float32 `[count, 64, 64, 3]`."""
    first = rng.uniform(0, 0.85 * _DARK, (count, 1, 1, 3)).astype(np.float32)
    second = np.clip(first + rng.uniform(-60, 60, first.shape), 0, _DARK).astype(np.float32)
    waves = rng.uniform(-0.2, 0.2, (2, count))
    ramp = np.arange(SIDE, dtype=np.float32)
    phase = _each(waves[0]) * ramp[:, np.newaxis] + _each(waves[1]) * ramp + _each(rng.uniform(0, 2 * np.pi, count))
    part = (0.5 + 0.5 * np.sin(phase))[..., np.newaxis]
    return np.asarray(first + part * (second - first), np.float32)


def _fills(backgrounds: Array, masks: Array, rng: np.random.Generator) -> Array:
    """Return a color for each shape that is clearly brighter than its background, float32 `[count, 1, 1, 3]`."""
    covered = ((backgrounds @ _BRIGHTNESS) * masks).sum(axis=(1, 2)) / masks.sum(axis=(1, 2))
    colors = rng.uniform(_LIGHT, 255, (8, len(backgrounds), 3)).astype(np.float32)
    colors[-1] = 255  # used if no other color has enough contrast
    first = np.argmax(colors @ _BRIGHTNESS - covered >= _MIN_CONTRAST, axis=0)
    return colors[first, np.arange(len(backgrounds))][:, np.newaxis, np.newaxis, :]
