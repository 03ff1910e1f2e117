"""What the name of a file tells about its content: an image, a raw photo, or what file managers leave behind."""

from __future__ import annotations

import os

from camserve.images.extensions import EXTENSIONS, RAW_EXTENSIONS

__all__ = ["IMAGES", "is_hidden_folder", "kind_by_name"]

IMAGES = "images"
"""The kind of files with the extension of an image."""

_HIDDEN_FOLDERS = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information"})
"""Folders of file managers, archives and file servers, in lower case, beside those that start with a dot."""
_HIDDEN_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})


def is_hidden_folder(name: str) -> bool:
    """Return whether a folder of this name is not to be searched."""
    return name.startswith(".") or name.lower() in _HIDDEN_FOLDERS


def kind_by_name(name: str) -> str | None:
    """Return `IMAGES`, the kind of `LeftOut` as which files of this name are left out, or None if content decides."""
    if name.startswith(".") or name.lower() in _HIDDEN_FILES:
        return "hidden_files"
    extension = os.path.splitext(name)[1].lower()  # noqa: PTH122  (faster than Path, for a million names)
    if extension in RAW_EXTENSIONS:
        return "raw_photos"
    return IMAGES if extension in EXTENSIONS else None
