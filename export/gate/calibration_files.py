"""Find the images of a calibration folder, without loading a framework."""

from __future__ import annotations

from pathlib import Path

from camserve.errors import UsageError
from camserve.images.folders import images_in
from camserve.images.left_out import LeftOut
from camserve.text import count, printable

__all__ = ["MIN_IMAGES", "list_images"]

MIN_IMAGES = 12
"""The fewest images of a calibration folder: nine to calibrate with and three to measure on."""


def list_images(folder: Path, left_out: LeftOut | None = None) -> list[Path]:
    """List the images in a folder and its subfolders, in the order of names; see `camserve.images.folders`.

    Args:
        folder: The folder.
        left_out: Counts what is left out (default: nothing is counted).

    Raises:
        UsageError: If the folder does not exist, cannot be read or contains too few images.
    """
    if not folder.is_dir():
        raise UsageError(f"{printable(folder)} is not a folder", hint="Pass a folder of images: --calibration DIR")
    counted = LeftOut() if left_out is None else left_out
    found = list(images_in(folder, counted))
    if len(found) < MIN_IMAGES:
        raise UsageError(
            f"calibration requires at least {MIN_IMAGES} images; {printable(folder)} has {count(len(found), 'image')}"
            + (f"; left out: {counted}" if counted else ""),
            hint="Add images as they will be served",
        )
    return found
