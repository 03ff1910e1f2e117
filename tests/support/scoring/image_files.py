"""Image files to score: parts of photos as JPEG, and tiny drawn ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

__all__ = ["PHOTO_SIZE", "link_files", "write_drawings", "write_photos"]

PHOTO_SIZE = (500, 375)
_QUALITY = 95
_FILES_IN_A_FOLDER = 1_000


def write_photos(folder: Path, count: int) -> list[Path]:
    """Write parts of scikit-learn's photos as JPEG files of 500 x 375 pixels, about 75 kB each."""
    folder.mkdir(parents=True)
    photos = [Image.fromarray(load_sample_image(name)) for name in ("china.jpg", "flower.jpg")]
    random = np.random.default_rng(0)
    paths = [folder / f"{number:04}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        photo = photos[number % len(photos)]
        width = int(random.integers(photo.width // 2, photo.width))
        height = width * PHOTO_SIZE[1] // PHOTO_SIZE[0]
        left = int(random.integers(0, photo.width - width + 1))
        top = int(random.integers(0, max(1, photo.height - height)))
        part = photo.resize(PHOTO_SIZE, box=(left, top, left + width, min(photo.height, top + height)))
        part.save(path, quality=_QUALITY)
    return paths


def write_drawings(folder: Path, count: int) -> list[Path]:
    """Write gradients with noise as JPEG files of 32 x 32 pixels."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    paths = [folder / f"{number:04}.jpg" for number in range(count)]
    for path in paths:
        corners = Image.fromarray(random.integers(0, 256, (3, 3, 3), np.uint8))
        corners.resize((32, 32), Image.Resampling.BILINEAR).save(path, quality=_QUALITY)
    return paths


def link_files(originals: list[Path], folder: Path, count: int) -> Path:
    """Fill a folder with so many names of the files, 1,000 in each subfolder, and return it."""
    for number in range(count):
        target = folder / f"{number // _FILES_IN_A_FOLDER:03}"
        if number % _FILES_IN_A_FOLDER == 0:
            target.mkdir(parents=True)
        original = originals[number % len(originals)]
        (target / f"{number % _FILES_IN_A_FOLDER:03}{original.suffix}").hardlink_to(original)
    return folder
