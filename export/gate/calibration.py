"""Images to calibrate int8 with, and images held out to measure it on."""

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
from camserve.text import printable

__all__ = ["FEWEST", "LIMIT", "SUFFIXES", "Calibration", "read_calibration"]

LIMIT = 400
"""Images that are read at most, unless another limit is given: a hundred are held out, so that one may differ."""

FEWEST = 12
"""Images without which nothing can be calibrated and measured: nine to learn from, three to measure on."""

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
"""Files that count as images, by their suffix in any case."""

_HELD_OUT_EACH = 4
_DEEP = ("I", "F")  # Pillow's modes of gray in 16 or 32 bits; made RGB, it would cut off what is brighter than 255
_TAKE_OUT = "Take it out of the calibration folder"

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Calibration:
    """Images, fitted to the network's input.

    Attributes:
        fit: What the quantizer may see: uint8 `[n, height, width, channels]`, RGB or gray.
        held_out: Every fourth image, which it may not; likewise.
        names: The files of both, as they lie in the folder, in order; every fourth is held out.
    """

    fit: Pixels
    held_out: Pixels
    names: tuple[str, ...]

    @property
    def fit_names(self) -> tuple[str, ...]:
        """The file of each image in `fit`."""
        return tuple(name for place, name in enumerate(self.names) if not _is_held_out(place))

    @property
    def held_out_names(self) -> tuple[str, ...]:
        """The file of each image in `held_out`."""
        return tuple(name for place, name in enumerate(self.names) if _is_held_out(place))


def read_calibration(
    folder: str | Path, size: tuple[int, int], preprocessing: Preprocessing, limit: int = LIMIT
) -> Calibration:
    """Reads the images of a folder and of the folders in it as Keras's `load_img` reads them.

    Args:
        folder: Where they lie. Of more than the limit, so many are read, evenly spread over their sorted paths.
        size: Height and width of the network's input.
        preprocessing: Its colours, resize filter and fit; nothing is computed on the pixels.
        limit: Number of images to read at most.

    Raises:
        UsageError: If there is no such folder, too few images are in it, or one cannot be read; it is named.
    """
    if limit < FEWEST:
        raise UsageError(f"{limit} images are too few to calibrate with", hint=f"Give {FEWEST} or more")
    root = Path(folder).expanduser()
    paths = _spread(_images(root), limit)
    pixels = np.stack([_read(path, size, preprocessing) for path in paths])
    held_out = np.array([_is_held_out(place) for place in range(len(paths))])
    names = tuple(printable(path.relative_to(root).as_posix()) for path in paths)
    return Calibration(fit=pixels[~held_out], held_out=pixels[held_out], names=names)


def _is_held_out(place: int) -> bool:
    return place % _HELD_OUT_EACH == _HELD_OUT_EACH - 1


def _images(folder: Path) -> list[Path]:
    """The images under a folder, in the order of their paths."""
    if not folder.is_dir():
        raise UsageError(f"{printable(folder)} is no folder", hint="Give a folder of images: --calibration DIR")
    try:
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    except OSError as error:
        raise UsageError(f"{printable(folder)} cannot be read: {error}") from error
    if len(found) < FEWEST:
        raise UsageError(
            f"{printable(folder)} holds {len(found) or 'no'} images, and calibration needs {FEWEST} or more",
            hint=f"Give a few hundred of the kind that will be served; these count: {', '.join(SUFFIXES)}",
        )
    return found


def _spread(paths: Sequence[Path], limit: int) -> list[Path]:
    """So many of the paths, evenly spread from the first to the last."""
    if len(paths) <= limit:
        return list(paths)
    return [paths[place] for place in np.linspace(0, len(paths) - 1, limit).round().astype(int)]


def _read(path: Path, size: tuple[int, int], preprocessing: Preprocessing) -> Pixels:
    """One image, uint8 `[height, width, channels]`, RGB or gray."""
    gray = preprocessing.color == "gray"
    cut = preprocessing.fit == "crop-only"
    try:
        with Image.open(path) as opened:
            deep = opened.mode.startswith(_DEEP)
        image = keras.utils.load_img(
            path,
            color_mode="grayscale" if gray else "rgb",
            target_size=None if cut else size,
            interpolation=preprocessing.resize,
            keep_aspect_ratio=preprocessing.fit == "center-crop",
        )
        pixels = np.asarray(image)
    except Exception as error:  # whatever a decoder stumbles over
        raise UsageError(f"{printable(path)} cannot be read as an image: {error}", hint=_TAKE_OUT) from error
    if deep:
        raise UsageError(f"{printable(path)} holds more than 8 bits a pixel", hint=_TAKE_OUT)
    if gray:
        pixels = pixels[:, :, np.newaxis]
    return _centre(pixels, size, path) if cut else pixels


def _centre(pixels: Pixels, size: tuple[int, int], path: Path) -> Pixels:
    (tall, wide), (height, width) = pixels.shape[:2], size
    if tall < height or wide < width:
        raise UsageError(
            f"{printable(path)} is {wide}x{tall} pixels, and {width}x{height} are to be cut from its centre",
            hint=_TAKE_OUT,
        )
    top, left = tall // 2 - height // 2, wide // 2 - width // 2
    return pixels[top : top + height, left : left + width]
