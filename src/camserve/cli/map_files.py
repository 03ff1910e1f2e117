"""Maps as PNG files, each under the name of its image and class; no map replaces that of another image."""

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
_LONGEST_LABEL = 40
_LONGEST_STEM = 180  # in bytes; with label, number and ending it stays under the 255 of common file systems
_LEAST_SIDE, _MOST_SIDE = 224, 1024


def make_folder(folder: Path) -> None:
    """Makes the folder of the maps before any work is done for it.

    Raises:
        UsageError: If it cannot be made, or not be written to.
    """
    hint = "Give a folder that you may write to"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"folder {printable(folder)} cannot be made: {error.strerror}", hint=hint) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"folder {printable(folder)} cannot be written to", hint=hint)


def save_map(cam: ActivationMap, source: Source, folder: Path) -> Path:
    """Writes the map over its image as PNG and returns the path.

    The file is called after the image and the class. It replaces what an earlier run wrote for the same image; the
    map of another image of that name stands, and this one gets a number.

    Args:
        cam: The map.
        source: The image.
        folder: Where to write.

    Raises:
        ImageError: If the image cannot be read any more.
        ClientError: If the file cannot be written.
    """
    drawn = _draw(cam, source.image)
    try:
        return _write(drawn, cam.label, source, folder)
    except OSError as error:
        raise ClientError(
            f"the map of {printable(source.name)} cannot be written to {printable(folder)}: {error.strerror or error}",
            hint="Check the free space and the permissions of the folder",
        ) from error


def _draw(cam: ActivationMap, image: ImageInput) -> Image:
    """The map over the image; over the crop alone that the network saw where that is a small part of it."""
    height, width = cam.placement.original
    left, top, right, bottom = cam.placement.box
    if 2 * (right - left) < width or 2 * (bottom - top) < height:
        return cam.overlay(size=_size_to_look_at(*cam.input_size))
    return cam.overlay(image, size=_size_to_look_at(height, width))


def _size_to_look_at(height: int, width: int) -> tuple[int, int]:
    """The same shape: a small one times a whole factor, to be seen at all; a large one made to fit a screen."""
    if max(height, width) > _MOST_SIDE:
        factor = _MOST_SIDE / max(height, width)
        return max(1, round(height * factor)), max(1, round(width * factor))
    times = min(math.ceil(_LEAST_SIDE / min(height, width)), _MOST_SIDE // max(height, width))
    return height * times, width * times


def _write(drawn: Image, label: str, source: Source, folder: Path) -> Path:
    from PIL.PngImagePlugin import PngInfo

    folder.mkdir(parents=True, exist_ok=True)  # it may have gone meanwhile
    origin = printable(source.name.absolute())
    stem = f"{_cut(source.stem)}-{re.sub(r'[^A-Za-z0-9]+', '_', label)[:_LONGEST_LABEL]}"
    path = next(path for path in _numbered(folder, stem) if not path.exists() or _origin_of(path) == origin)
    told = PngInfo()
    told.add_itxt(_ORIGIN_KEY, origin)
    with replace_file(path) as temporary:
        drawn.save(temporary, format="PNG", pnginfo=told)
    return path


def _cut(stem: str) -> str:
    data = os.fsencode(stem)
    return stem if len(data) <= _LONGEST_STEM else data[:_LONGEST_STEM].decode(errors="ignore")


def _numbered(folder: Path, stem: str) -> Iterator[Path]:
    yield folder / f"{stem}.png"
    yield from (folder / f"{stem}-{number}.png" for number in itertools.count(2))


def _origin_of(path: Path) -> str | None:
    """Which image a map was made of, as the map itself says; None where it does not."""
    import PIL.Image

    try:
        with PIL.Image.open(path, formats=["PNG"]) as image:
            return image.info.get(_ORIGIN_KEY)
    except OSError:
        return None
