"""Deletion and insertion: the score of a class while the pixels that a map ranks highest are removed or inserted.

A removed pixel is replaced by that of a blurred copy of the image. The area under the deletion curve is small, and that
under the insertion curve large, if the map ranks the pixels as the network uses them.

Source: Petsiuk et al. 2018, "RISE: Randomized Input Sampling for Explanation of Black-box Models", section 4.2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from camserve.heatmap import upsample

__all__ = [
    "Score",
    "area",
    "blurred",
    "deletion_masks",
    "insertion_masks",
    "random_grid",
    "removal_order",
    "score_masks",
]

Array = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]
Score = Callable[[Pixels], npt.NDArray[np.float64]]
"""From images `[batch, height, width, channels]` to the score of one class, `[batch]`."""

_BLUR = 1 / 8  # standard deviation, of the shorter side: what remains is where it is bright, and no shape
_BATCH = 8


def blurred(image: Pixels) -> Pixels:
    """Return a copy of an image, `[height, width, channels]`, in which no shape can be recognized.

    A constant color would draw a shape with sharp edges of its own where pixels are removed.
    """
    radius = _BLUR * min(image.shape[:2])
    drawing = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    return np.asarray(drawing.filter(ImageFilter.GaussianBlur(radius))).reshape(image.shape)


def random_grid(shape: tuple[int, ...], seed: int) -> Array:
    """Return a map of independent uniform values, which is as smooth as any other once it is enlarged.

    Args:
        shape: Rows and columns.
        seed: The seed.
    """
    return np.random.default_rng(seed).uniform(size=shape)


def removal_order(grid: Array, size: tuple[int, int]) -> npt.NDArray[np.intp]:
    """Return the pixels of an image in the order of a map, the highest first; equal values in a random order.

    Args:
        grid: The map, `[rows, columns]`, which is enlarged as clients draw it.
        size: Height and width of the image.

    Returns:
        Indices of pixels, `[height * width]`; the same for the same map.
    """
    values = upsample(grid, size).ravel()
    order: npt.NDArray[np.intp] = np.lexsort((np.random.default_rng(0).permutation(values.size), -values))
    return order


def deletion_masks(order: npt.NDArray[np.intp], steps: int) -> npt.NDArray[np.bool_]:
    """Return which pixels remain after each step, bool `[steps + 1, pixels]`: all at first, none at the end."""
    return ~insertion_masks(order, steps)


def insertion_masks(order: npt.NDArray[np.intp], steps: int) -> npt.NDArray[np.bool_]:
    """Return which pixels are inserted after each step, bool `[steps + 1, pixels]`: none at first, all at the end."""
    ends = np.rint(np.linspace(0, order.size, steps + 1)).astype(int)
    rank = np.empty(order.size, int)
    rank[order] = np.arange(order.size)
    masks: npt.NDArray[np.bool_] = rank < ends[:, np.newaxis]
    return masks


def score_masks(image: Pixels, fill: Pixels, masks: npt.NDArray[np.bool_], score: Score) -> npt.NDArray[np.float64]:
    """Score copies of an image in which only some pixels remain. Equal copies are scored once.

    Args:
        image: `[height, width, channels]`.
        fill: What the other pixels are replaced by, in the same form.
        masks: Which pixels remain, bool `[..., height * width]`.
        score: Scores a batch of images.

    Returns:
        `[...]`.
    """
    flat = masks.reshape(-1, masks.shape[-1])
    _, places, inverse = np.unique(np.packbits(flat, axis=1), axis=0, return_index=True, return_inverse=True)
    distinct = flat[places].reshape(-1, *image.shape[:2], 1)
    batches = (distinct[begin : begin + _BATCH] for begin in range(0, len(distinct), _BATCH))
    scores = np.concatenate([score(np.where(batch, image, fill)) for batch in batches])
    result: npt.NDArray[np.float64] = scores[inverse.ravel()].reshape(masks.shape[:-1])
    return result


def area(curves: Array) -> npt.NDArray[np.float64]:
    """Return the area under each curve over the share of pixels, from 0 to 1.

    Args:
        curves: `[..., steps + 1]`, at equal distances.
    """
    return np.asarray((curves[..., 1:] + curves[..., :-1]).mean(axis=-1) / 2, np.float64)
