"""Write class activation maps as PNG files, named after image and class."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from camserve.atomic import add_file, replace_file
from camserve.errors import ClientError, UsageError
from camserve.text import printable

if TYPE_CHECKING:
    from camserve.cli.image_sources import Source
    from camserve.clients import ActivationMap

__all__ = ["make_folder", "save_map"]

_NAME_KEY, _IDENTITY_KEY = "camserve.image", "camserve.source"
_MAX_LABEL = 40
_MAX_STEM = 180  # in bytes; with label, number and suffix the name stays below the usual limit of 255


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
    name belongs to anything else, such as the map of another image or a link, the new name gets a number. It contains
    the name of the image's file, but not its folder.

    Args:
        cam: The map.
        source: The image.
        folder: Where to write.

    Raises:
        ImageError: If the image can no longer be read.
        ClientError: If the file cannot be written.
    """
    from camserve.clients.answers.map_drawing import draw_map, encode_png

    drawing = draw_map(cam, source.image)
    try:
        folder.mkdir(parents=True, exist_ok=True)  # it may have been removed during a long run
        identity = _identity(source, cam.decode_options.max_bytes)
        content = encode_png(drawing, {_NAME_KEY: printable(source.name.name), _IDENTITY_KEY: identity})
        stem = f"{_truncated(source.stem)}-{re.sub(r'[^A-Za-z0-9]+', '_', cam.label)[:_MAX_LABEL]}"
        return next(path for path in _numbered(folder, stem) if _write_to(path, content, identity))
    except OSError as error:
        raise ClientError(
            f"the map of {printable(source.name)} cannot be written to {printable(folder)}: {error.strerror or error}",
            hint="Check free space and permissions of the folder",
        ) from None


def _write_to(path: Path, content: bytes, identity: str) -> bool:
    """Write the map to a new file or one of the same image, and return False if the name belongs to anything else."""
    from camserve.clients.answers.map_drawing import contains_text

    if not os.path.lexists(path):
        with suppress(FileExistsError):  # another process was faster
            add_file(path, content)
            return True
    if not contains_text(path, identity):
        return False
    with replace_file(path) as replacement:
        replacement.stream.write(content)
    return True


def _identity(source: Source, max_bytes: int) -> str:
    """Return a checksum of the path and the content of an image, from which the path cannot be found out."""
    from camserve.images.files import read_bytes

    content, _ = read_bytes(source.image, max_bytes)
    return hashlib.sha256(os.fsencode(source.name.absolute()) + b"\0" + content).hexdigest()


def _truncated(stem: str) -> str:
    data = os.fsencode(stem)
    return stem if len(data) <= _MAX_STEM else data[:_MAX_STEM].decode(errors="ignore")


def _numbered(folder: Path, stem: str) -> Iterator[Path]:
    yield folder / f"{stem}.png"
    yield from (folder / f"{stem}-{number}.png" for number in itertools.count(2))
