"""Images and sizes that resize filters are compared on."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.datasets import load_sample_image

from camserve.resize.layout import Source

__all__ = ["SIZES", "noise", "photo", "source_of"]

Size = tuple[int, int]

_RANDOM_SIZES = 20


def _sizes() -> list[tuple[Size, Size]]:
    """Sources and targets, (height, width): usual ones, whole factors, single pixels and lines, and random ones."""
    usual = [((480, 640), (224, 224)), ((375, 500), (224, 224)), ((1000, 700), (256, 256)), ((224, 224), (224, 224))]
    factors = [((448, 448), (224, 224)), ((672, 448), (224, 224)), ((896, 672), (224, 224)), ((64, 64), (128, 128))]
    odd = [((7, 5), (64, 64)), ((1, 1), (8, 8)), ((3, 400), (30, 20)), ((1, 50), (1, 20)), ((2, 2), (1, 1))]
    mixed = [((100, 300), (200, 150)), ((300, 100), (150, 200)), ((225, 223), (224, 224)), ((299, 299), (150, 149))]
    rng = np.random.default_rng(0)
    drawn = rng.integers(1, 300, (_RANDOM_SIZES, 4)).tolist()
    return [*usual, *factors, *odd, *mixed, *(((a, b), (c, d)) for a, b, c, d in drawn)]


SIZES = _sizes()


def noise(size: Size, channels: int) -> npt.NDArray[np.uint8]:
    """Return noise, in which every wrong weight shows, uint8 `[height, width, channels]`."""
    return np.random.default_rng(size).integers(0, 256, (*size, channels)).astype(np.uint8)


@cache
def photo() -> npt.NDArray[np.uint8]:
    """Return a photo that scikit-learn ships, RGB, uint8 `[427, 640, 3]`."""
    return np.asarray(load_sample_image("china.jpg"), np.uint8)


def source_of(pixels: npt.NDArray[np.uint8]) -> Source:
    """Return the source of RGB or gray pixels, `[height, width, channels]`."""
    return Source(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))
