"""Read images to calibrate int8 with, and hold some out to measure it on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from camserve.export.frameworks import keras

import numpy as np
import numpy.typing as npt
from PIL import Image

from camserve.contract import Preprocessing
from camserve.errors import UsageError
from camserve.export.gate.calibration_files import MIN_IMAGES, list_images
from camserve.resize import NUMPY_FILTERS, resize_pixels
from camserve.text import printable

__all__ = ["LIMIT", "Calibration", "read_calibration"]

LIMIT = 400
"""How many images are read by default: a hundred are held out, of which 1 % is one image."""

_HELD_OUT_EVERY = 4
_HIGH_BIT_DEPTH = ("I", "F")  # Pillow's gray modes of 16 or 32 bits; converted to RGB, values above 255 are clipped
_REMOVE = "Remove it from the calibration folder"

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Calibration:
    """Images of the size of the network's input.

    Attributes:
        fit: Images for the quantizer: uint8 `[n, height, width, channels]`, RGB or gray.
        held_out: Every fourth image, which the quantizer does not see; in the same form.
        names: The file of every image, relative to the folder, in order.
    """

    fit: Pixels
    held_out: Pixels
    names: tuple[str, ...]

    @property
    def held_out_names(self) -> tuple[str, ...]:
        """The file of each image in `held_out`."""
        return tuple(name for index, name in enumerate(self.names) if _is_held_out(index))


def read_calibration(
    folder: str | Path, size: tuple[int, int], preprocessing: Preprocessing, limit: int = LIMIT
) -> Calibration:
    """Read the images of a folder and its subfolders as Keras's `load_img` reads them.

    Args:
        folder: The folder. If it has more images than the limit, they are sampled evenly from their sorted paths.
        size: Height and width of the network's input.
        preprocessing: Determines colors, resize filter and fit; its arithmetic is not applied.
        limit: Largest number of images to read.

    Raises:
        UsageError: If the folder does not exist or has too few images, or an image cannot be read.
    """
    if limit < MIN_IMAGES:
        raise UsageError(f"limit must be at least {MIN_IMAGES}, got {limit}")
    root = Path(folder).expanduser()
    paths = _sample(list_images(root), limit)
    pixels = np.stack([_read(path, size, preprocessing) for path in paths])
    held_out = np.array([_is_held_out(index) for index in range(len(paths))])
    names = tuple(printable(path.relative_to(root).as_posix()) for path in paths)
    return Calibration(fit=pixels[~held_out], held_out=pixels[held_out], names=names)


def _is_held_out(index: int) -> bool:
    return index % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1


def _sample(paths: Sequence[Path], limit: int) -> list[Path]:
    """Sample at most `limit` paths evenly, the first and the last included."""
    if len(paths) <= limit:
        return list(paths)
    return [paths[index] for index in np.linspace(0, len(paths) - 1, limit).round().astype(int)]


def _read(path: Path, size: tuple[int, int], preprocessing: Preprocessing) -> Pixels:
    """Read one image as uint8 `[height, width, channels]`, RGB or gray."""
    gray = preprocessing.color == "gray"
    crop, in_numpy = preprocessing.fit == "crop-only", preprocessing.resize in NUMPY_FILTERS
    try:
        with Image.open(path) as opened:
            high_bit_depth = opened.mode.startswith(_HIGH_BIT_DEPTH)
        image = keras.utils.load_img(
            path,
            color_mode="grayscale" if gray else "rgb",
            target_size=None if crop or in_numpy else size,
            interpolation="nearest" if in_numpy else preprocessing.resize,
            keep_aspect_ratio=preprocessing.fit == "center-crop",
        )
        pixels = np.asarray(image)
    except Exception as error:  # decoders raise exceptions of many types
        raise UsageError(f"cannot read {printable(path)} as an image: {error}", hint=_REMOVE) from error
    if high_bit_depth:
        raise UsageError(f"{printable(path)} has more than 8 bits per channel", hint=_REMOVE)
    if gray:
        pixels = pixels[:, :, np.newaxis]
    if crop:
        return _center_crop(pixels, size, path)
    return _resize_in_numpy(pixels, size, preprocessing) if in_numpy else pixels


def _resize_in_numpy(pixels: Pixels, size: tuple[int, int], preprocessing: Preprocessing) -> Pixels:
    """Resize with a filter of TensorFlow or OpenCV; fractions are rounded, which calibration does not notice."""
    if preprocessing.fit == "center-crop":
        height = min(pixels.shape[0], pixels.shape[1] * size[0] // size[1])
        width = min(pixels.shape[1], pixels.shape[0] * size[1] // size[0])
        top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
        pixels = pixels[top : top + height, left : left + width]
    resized = resize_pixels(pixels, size, preprocessing.resize)
    return np.asarray(np.rint(resized).clip(0, 255), np.uint8)


def _center_crop(pixels: Pixels, size: tuple[int, int], path: Path) -> Pixels:
    (image_height, image_width), (height, width) = pixels.shape[:2], size
    if image_height < height or image_width < width:
        raise UsageError(
            f"{printable(path)} is {image_width}x{image_height} pixels, smaller than the crop of {width}x{height}",
            hint=_REMOVE,
        )
    top, left = image_height // 2 - height // 2, image_width // 2 - width // 2
    return pixels[top : top + height, left : left + width]
