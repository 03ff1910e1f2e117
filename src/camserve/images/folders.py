"""Find the images in folders: by content, links followed once, without what file managers and notebooks leave behind.

Clients and calibration share this search, so that a folder gives them the same images.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Generator, Iterator
from glob import has_magic
from pathlib import Path

from camserve.errors import UsageError
from camserve.images.file_names import IMAGES, is_hidden_folder, kind_by_name
from camserve.images.left_out import LeftOut
from camserve.images.signatures import SIGNATURE_LENGTH, image_kind
from camserve.text import printable

__all__ = ["expand", "images_in"]

_Walk = Generator[Path, None, str | None]
"""The images of a folder in order; in the end None, or why there are none: a kind of `LeftOut`."""


def expand(path: str | Path) -> list[Path]:
    """Return the files and folders that a path names: itself, or if nothing has this name, the matches of a pattern.

    A pattern contains `*`, `?` or `[...]`, and `**` for folders of any depth. Like the shell, it leaves out names that
    start with a dot, and `**` does not follow links. Files that it matches count as given by name. What is in a folder
    that it matches is not listed again.

    Returns:
        The matches in the order of names, or the path itself if it is not a pattern, whether it exists or not.

    Raises:
        UsageError: If nothing matches the pattern.
    """
    text = os.fspath(path)
    if not has_magic(text) or os.path.lexists(text):
        return [Path(path)]
    parts = Path(text).parts
    fixed = next(place for place, part in enumerate(parts) if has_magic(part))
    found = sorted(_matches(Path(*parts[:fixed]), parts[fixed:]))
    if not found:
        raise UsageError(
            f"no file matches {printable(text)}", hint="Check the pattern, or pass the folder to search it for images"
        )
    folders = set(found)
    return [match for match in found if folders.isdisjoint(match.parents)]


def _matches(folder: Path, pattern: tuple[str, ...]) -> Iterator[Path]:
    """Yield what matches the parts of a pattern below a folder, except for hidden names that it does not name."""
    with_hidden = any(part.startswith(".") for part in pattern)
    parts = [re.sub(r"\*\*+", "*", part) if part.strip("*") or len(part) > 2 else part for part in pattern]
    for match in folder.glob(os.path.join(*parts)):  # noqa: PTH118
        if with_hidden or not any(part.startswith(".") for part in match.relative_to(folder).parts):
            yield match


def images_in(folder: Path, left_out: LeftOut) -> Iterator[Path]:
    """Search a folder and its subfolders for images, in the order of names.

    An image is a file with the extension of one, or with any other name and the content of one, except for raw photos.
    Links to folders are followed, but a folder that is searched already is not searched again.

    Args:
        folder: The folder; it is searched even if its own name is hidden.
        left_out: Counts what is left out, and folders without images.

    Raises:
        UsageError: If a folder cannot be read.
    """
    real = os.path.realpath(folder)
    without = yield from _Search(real, left_out).images(str(folder), real)
    if without is not None:
        left_out.add(without, str(folder))


class _Search:
    """One search, which visits each folder once.

    Args:
        root: The real path of the folder to search.
        left_out: Counts what is left out.
    """

    def __init__(self, root: str, left_out: LeftOut) -> None:
        self._root = root
        self._searched = [root]  # and the targets of the followed links
        self._visited: set[str] = set()
        self._left_out = left_out

    def images(self, folder: str, real: str) -> _Walk:
        """Search a folder.

        Args:
            folder: Its path, as the paths of its images start.
            real: Its path without links.
        """
        self._visited.add(real)
        entries = _entries(folder)
        found, without = False, []
        for entry in entries:
            if _is_folder(entry):
                target = self._target(entry, real)
                if target is None:
                    continue
                reason = yield from self.images(entry.path, target)
                found |= reason is None
                without += [] if reason is None else [(reason, entry.path)]
            elif self._is_image(entry):
                found = True
                yield Path(entry.path)
        if not found:  # named by the folder above, of which these are a part
            return "folders_without_images" if entries else "empty_folders"
        for reason, path in without:
            self._left_out.add(reason, path)
        return None

    def _target(self, entry: os.DirEntry[str], real: str) -> str | None:
        """Return the real path of a folder, or None if it is not to be searched."""
        if is_hidden_folder(entry.name):
            self._left_out.add("hidden_folders", entry.path)
            return None
        is_link = entry.is_symlink()
        target = os.path.realpath(entry.path) if is_link else os.path.join(real, entry.name)  # noqa: PTH118
        if target in self._visited or (is_link and self._leads_back(target)):
            self._left_out.add("repeated_folders", entry.path)
            return None
        if is_link:
            self._searched.append(target)
        return target

    def _leads_back(self, target: str) -> bool:
        """Return whether the target of a link contains the root, or is searched without the link."""
        return _is_within(self._root, target) or any(_is_visible(target, folder) for folder in self._searched)

    def _is_image(self, entry: os.DirEntry[str]) -> bool:
        kind = kind_by_name(entry.name)
        if kind is None and not _has_content(entry.path):
            kind = "not_images"
        if kind is None or kind == IMAGES:
            return True
        self._left_out.add(kind, entry.path)
        return False


def _is_visible(path: str, folder: str) -> bool:
    """Return whether the search of a folder reaches another one without links."""
    return _is_within(path, folder) and not any(map(is_hidden_folder, Path(path).relative_to(folder).parts))


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(
            f"folder {printable(folder)} cannot be read: {error.strerror}",
            hint="Check its permissions, or leave it out",
        ) from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _has_content(path: str) -> bool:
    """Return whether a file has the content of an image, or cannot be read, which the error of its row then states."""
    try:
        # Checked before it is opened: opening a device may have an effect, and a pipe has no beginning.
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
            return False
        with open(path, "rb", buffering=0) as stream:  # noqa: PTH123
            return image_kind(stream.read(SIGNATURE_LENGTH)) is not None
    except OSError:
        return True
