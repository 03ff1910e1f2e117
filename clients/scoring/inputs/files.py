"""Find images in files, folders and patterns."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from camserve.clients.scoring.items import Item, item_of_file
from camserve.errors import UsageError
from camserve.images.folders import expand, images_in
from camserve.images.left_out import LeftOut
from camserve.text import printable

__all__ = ["check_several", "find_images", "items_of_folder"]

_log = logging.getLogger("camserve.clients")


def find_images(inputs: Iterable[str | Path], *, left_out: LeftOut | None = None) -> Iterator[Path]:
    """List the files to score: the given files, whatever their names, and the images in the given folders.

    Folders are searched recursively, in the order of names, for files with the extension of an image, and files of any
    other name with the content of one. Links to folders are followed, but no folder is searched twice. Hidden files
    and folders (names that start with a dot, `__MACOSX`, `Thumbs.db`, `desktop.ini` and the like), raw photos (`.dng`,
    `.nef` and the like) and files of other content are left out. Patterns such as `photos/*.jpg` are
    expanded if no file has that name. Missing files are listed, too, so that they get a row.

    Args:
        inputs: Files, folders and patterns.
        left_out: Counts what is left out of the folders (default: it is logged as a warning at the end).

    Raises:
        UsageError: If a single path is passed, a folder cannot be read, nothing matches a pattern, or no file is found.
    """
    check_several(inputs)
    counted = LeftOut() if left_out is None else left_out
    found = False
    for path in _files(inputs, counted):
        found = True
        yield path
    if not found:
        raise UsageError(
            f"no images found{f'; left out: {counted}' if counted else ''}",
            hint="Pass image files, or folders that contain images",
        )
    if left_out is None and counted:
        _log.warning("left out: %s", counted)


def check_several(inputs: object) -> None:
    """Refuse a single path, which is a sequence of letters."""
    if isinstance(inputs, str | os.PathLike):
        raise UsageError(f"inputs must be a list of paths, got the path {printable(str(inputs))}", hint="Pass [path]")


def items_of_folder(folder: Path, left_out: LeftOut) -> Iterator[Item]:
    """Yield the images of a folder, with their path in it as their identifier."""
    start = 0 if str(folder) == "." else len(os.path.join(folder, ""))  # noqa: PTH118
    for path in images_in(folder, left_out):
        text = str(path)
        yield item_of_file(text, text[start:].replace(os.sep, "/"))  # Path.relative_to takes longer than all the rest


def _files(inputs: Iterable[str | Path], left_out: LeftOut) -> Iterator[Path]:
    for given in inputs:
        for path in expand(given):
            if os.path.isdir(path):  # noqa: PTH112  (Path.is_dir raises an error without permission)
                yield from images_in(path, left_out)
            else:
                yield path
