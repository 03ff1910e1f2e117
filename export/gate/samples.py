"""Synthetic images to measure parity on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["sample_images"]


def sample_images(count: int, height: int, width: int, channels: int) -> npt.NDArray[np.uint8]:
    """Draw images of smooth color gradients with a bright and a dark spot and a little noise.

    A network gives almost the same answer to any image of noise; large shapes differ as photos do.

    Args:
        count: Number of images.
        height: Height in pixels.
        width: Width in pixels.
        channels: 1 for gray, 3 for RGB.

    Returns:
        uint8 `[count, height, width, channels]`; the same for the same arguments.
    """
    rng = np.random.default_rng(20_16)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    rows, columns = rows / height, columns / width
    images = []
    for _ in range(count):
        waves = rng.uniform(0.5, 3.0, (2, channels)) * 2 * np.pi
        phase = rng.uniform(0, 2 * np.pi, channels)
        image = 128 + 90 * np.sin(rows[..., None] * waves[0] + columns[..., None] * waves[1] + phase)
        for strength in (120.0, -120.0):
            y, x, radius = rng.uniform(0.15, 0.85), rng.uniform(0.15, 0.85), rng.uniform(0.05, 0.25)
            spot = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * radius**2))
            image = image + strength * spot[..., None] * rng.uniform(0.3, 1.0, channels)
        images.append(image + rng.normal(0, 8, image.shape))
    return np.asarray(np.clip(np.round(images), 0, 255), np.uint8)
