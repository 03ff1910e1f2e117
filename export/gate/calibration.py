"""Read images to calibrate int8 with, and hold some out to measure it on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from camserve.contract import ModelContract
from camserve.errors import ImageError, UsageError
from camserve.export.gate.calibration_files import MIN_IMAGES, list_images
from camserve.images.left_out import LeftOut
from camserve.images.loading import load_image
from camserve.images.preprocess import fit_image
from camserve.text import printable

__all__ = ["LIMIT", "Calibration", "read_calibration"]

LIMIT = 400
"""How many images are read by default: a hundred are held out, of which 1 % is one image."""

_HELD_OUT_EVERY = 4
_REMOVE = "Remove it from the calibration folder"

_log = logging.getLogger("camserve.export")

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


def read_calibration(folder: str | Path, contract: ModelContract, limit: int = LIMIT) -> Calibration:
    """Read the images of a folder and its subfolders as clients find and read them.

    What is left out of the folder is logged as a warning.

    Args:
        folder: The folder. If it has more images than the limit, they are sampled evenly from their sorted paths.
        contract: Determines the size, colors, resize filter and fit of the images.
        limit: Largest number of images to read.

    Raises:
        UsageError: If the folder does not exist or has too few images, or an image cannot be read.
    """
    if limit < MIN_IMAGES:
        raise UsageError(f"limit must be at least {MIN_IMAGES}, got {limit}")
    root = Path(folder).expanduser()
    left_out = LeftOut()
    paths = _sample(list_images(root, left_out), limit)
    if left_out:
        _log.warning("left out of the calibration: %s", left_out)
    pixels = np.stack([_read(path, contract) for path in paths])
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


def _read(path: Path, contract: ModelContract) -> Pixels:
    """Read one image as uint8 `[height, width, channels]`, RGB or gray; fractions of pixels are rounded."""
    try:
        decoded = load_image(path)
    except ImageError as error:
        raise UsageError(error.message, hint=_REMOVE) from None
    try:
        fitted = fit_image(decoded, contract)
    except ImageError as error:
        raise UsageError(f"{printable(path)}: {error.message}", hint=_REMOVE) from None
    return np.asarray(fitted.image).reshape(contract.input.shape)
