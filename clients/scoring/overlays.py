"""Write the map of each row over its image, as PNG files that keep the folders of the images."""

from __future__ import annotations

import os
from pathlib import Path

from camserve.atomic import replace_file
from camserve.clients.answers.activation_map import ActivationMap
from camserve.clients.answers.map_drawing import contains_text, draw_map, encode_png
from camserve.clients.scoring.overlay_names import overlay_name
from camserve.clients.scoring.rows import ScoredRow
from camserve.errors import ClientError
from camserve.images.loading import ImageInput
from camserve.text import printable

__all__ = ["has_overlay", "write_overlay"]

_IMAGE_KEY, _ANSWER_KEY = "camserve.image", "camserve.answer"


def write_overlay(cam: ActivationMap, image: ImageInput, row: ScoredRow, folder: str | Path) -> Path:
    """Write the map of a row over its image as a PNG file, which is complete as soon as it is visible.

    It replaces the overlay of an earlier run. `overlay_name` determines its path.

    Args:
        cam: The map of the best class.
        image: The image, such as the bytes of its file.
        row: The row of the image.
        folder: The folder of overlays.

    Returns:
        The path of the file.

    Raises:
        ImageError: If the image cannot be decoded.
        ClientError: If the file cannot be written. It concerns all images: the disk may be full.
    """
    path = Path(folder, overlay_name(row.id))
    name = printable(row.id.rpartition("/")[2])
    content = encode_png(draw_map(cam, image), {_IMAGE_KEY: name, _ANSWER_KEY: _answer(row)})
    try:
        real = Path(os.path.realpath(folder), overlay_name(row.id)).parent
        if os.path.realpath(real) != str(real):
            raise FileExistsError("a folder on its path is a link")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and not contains_text(path, _ANSWER_KEY):
            raise FileExistsError("a file that is not an overlay has its name")
        with replace_file(path) as replacement:
            replacement.stream.write(content)
    except OSError as error:
        raise ClientError(
            f"the overlay {printable(path)} cannot be written: {error.strerror or error}",
            hint="Check free space and permissions of the folder, or choose another: --overlays DIR",
        ) from None
    return path


def has_overlay(row: ScoredRow, folder: str | Path) -> bool:
    """Return whether the overlay of this answer for this image exists: same bytes, model and version."""
    return contains_text(Path(folder, overlay_name(row.id)), _answer(row))


def _answer(row: ScoredRow) -> str:
    return f"{row.model}/{row.version}/{row.sha256}"
