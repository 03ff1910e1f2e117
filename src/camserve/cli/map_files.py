"""Write class activation maps as PNG files, named after image and class."""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from camserve.atomic import replace_file
from camserve.errors import ClientError, UsageError
from camserve.text import printable

if TYPE_CHECKING:
    from PIL.Image import Image

    from camserve.cli.image_sources import Source
    from camserve.clients import ActivationMap, ImageInput

__all__ = ["make_folder", "save_map"]

_ORIGIN_KEY = "camserve.image"
_MAX_LABEL = 40
_MAX_STEM = 180  # in bytes; with label, number and suffix the name stays below the usual limit of 255
_MIN_SIDE, _MAX_SIDE = 224, 1024


def make_folder(folder: Path) -> None:
    """Create the folder for the maps, before any image is classified.

    Raises:
        UsageError: If it cannot be created, or is not writable.
    """
    hint = "Give --cam-dir a folder that you can write to"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"folder {printable(folder)} cannot be created: {error.strerror}", hint=hint) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"folder {printable(folder)} is not writable", hint=hint)


def save_map(cam: ActivationMap, source: Source, folder: Path) -> Path:
    """Write the map over its image, with caption and color scale, as a PNG file and return its path.

    The file is named after the image and the class. It replaces the file of an earlier run for the same image; if the
    name belongs to the map of another image, the new name gets a number.

    Args:
        cam: The map.
        source: The image.
        folder: Where to write.

    Raises:
        ImageError: If the image can no longer be read.
        ClientError: If the file cannot be written.
    """
    drawing = _draw(cam, source.image)
    try:
        return _write(drawing, cam.label, source, folder)
    except OSError as error:
        raise ClientError(
            f"the map of {printable(source.name)} cannot be written to {printable(folder)}: {error.strerror or error}",
            hint="Check free space and permissions of the folder",
        ) from None


def _draw(cam: ActivationMap, image: ImageInput) -> Image:
    """Draw the map over the image, or over the crop alone if that is less than half of the image's side."""
    height, width = cam.placement.original
    left, top, right, bottom = cam.placement.box
    if 2 * (right - left) < width or 2 * (bottom - top) < height:
        return cam.overlay(size=_display_size(*cam.input_size), caption=True)
    return cam.overlay(image, size=_display_size(height, width), caption=True)


def _display_size(height: int, width: int) -> tuple[int, int]:
    """Return a size that fits a screen: small images are enlarged by a whole factor, large ones are reduced."""
    if max(height, width) > _MAX_SIDE:
        factor = _MAX_SIDE / max(height, width)
        return max(1, round(height * factor)), max(1, round(width * factor))
    times = min(math.ceil(_MIN_SIDE / min(height, width)), _MAX_SIDE // max(height, width))
    return height * times, width * times


def _write(drawing: Image, label: str, source: Source, folder: Path) -> Path:
    from PIL.PngImagePlugin import PngInfo

    folder.mkdir(parents=True, exist_ok=True)  # it may have been removed during a long run
    origin = printable(source.name.absolute())
    stem = f"{_truncated(source.stem)}-{re.sub(r'[^A-Za-z0-9]+', '_', label)[:_MAX_LABEL]}"
    path = next(path for path in _numbered(folder, stem) if not path.exists() or _origin_of(path) == origin)
    metadata = PngInfo()
    metadata.add_itxt(_ORIGIN_KEY, origin)
    with replace_file(path) as temporary:
        drawing.save(temporary, format="PNG", pnginfo=metadata)
    return path


def _truncated(stem: str) -> str:
    data = os.fsencode(stem)
    return stem if len(data) <= _MAX_STEM else data[:_MAX_STEM].decode(errors="ignore")


def _numbered(folder: Path, stem: str) -> Iterator[Path]:
    yield folder / f"{stem}.png"
    yield from (folder / f"{stem}-{number}.png" for number in itertools.count(2))


def _origin_of(path: Path) -> str | None:
    """Return the path of the image that a map was made from, as stored in the map's file; None if it is missing."""
    import PIL.Image

    try:
        with PIL.Image.open(path, formats=["PNG"]) as image:
            return image.info.get(_ORIGIN_KEY)
    except OSError:
        return None
