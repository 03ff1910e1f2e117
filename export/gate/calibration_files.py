"""Find the images of a calibration folder, without loading a framework."""

from __future__ import annotations

from pathlib import Path

from camserve.errors import UsageError
from camserve.images.extensions import EXTENSIONS
from camserve.text import count, printable, reason

__all__ = ["MIN_IMAGES", "list_images"]

MIN_IMAGES = 12
"""The fewest images of a calibration folder: nine to calibrate with and three to measure on."""


def list_images(folder: Path) -> list[Path]:
    """List the images in a folder and its subfolders, sorted by path.

    Raises:
        UsageError: If the folder does not exist, cannot be read or contains too few images.
    """
    if not folder.is_dir():
        raise UsageError(f"{printable(folder)} is not a folder", hint="Pass a folder of images: --calibration DIR")
    try:
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())
    except OSError as error:
        raise UsageError(f"cannot read {printable(folder)}: {reason(error, folder)}") from None
    if len(found) < MIN_IMAGES:
        raise UsageError(
            f"calibration requires at least {MIN_IMAGES} images; {printable(folder)} has {count(len(found), 'image')}",
            hint=f"Add images as they will be served, with one of the extensions {', '.join(sorted(EXTENSIONS))}",
        )
    return found
