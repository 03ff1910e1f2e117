"""What a search for images left out, counted by kind."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from camserve.text import count, shortened

__all__ = ["LeftOut"]

_NAMED = 3
_LENGTH_OF_NAME = 120

_NOUNS = {
    "hidden_files": ("hidden file", "hidden files"),
    "hidden_folders": ("hidden folder", "hidden folders"),
    "not_images": ("file that is not an image", "files that are not images"),
    "raw_photos": ("raw photo", "raw photos"),
    "repeated_folders": ("link back to searched folders", "links back to searched folders"),
    "empty_folders": ("empty folder", "empty folders"),
    "folders_without_images": ("folder without images", "folders without images"),
    "other_members": ("member of an archive that is not an image", "members of archives that are not images"),
    "archive_links": ("link in an archive", "links in archives"),
    "archives_without_images": ("archive without images", "archives without images"),
    "empty_tables": ("table without rows", "tables without rows"),
    "empty_lists": ("list without paths", "lists without paths"),
}
"""The kinds, and how messages call one and several."""


class LeftOut:
    """Counts what a search for images left out, and names the first paths.

    `str()` of it is a line for messages; it is false if nothing was left out.

    Attributes:
        counts: How many there are of each kind: `hidden_files`, `hidden_folders`, `not_images`, `raw_photos`,
            `repeated_folders`, `empty_folders` and `folders_without_images`; in inputs of `find_items` also
            `other_members`, `archive_links`, `archives_without_images`, `empty_tables` and `empty_lists`. Other kinds
            are absent.
        first: The first three paths of each kind.
    """

    def __init__(self) -> None:
        self._ignored: Path | None = None
        self.counts: Counter[str] = Counter()
        self.first: defaultdict[str, list[str]] = defaultdict(list)

    def ignore(self, path: Path) -> None:
        """Ignore a file, because it belongs to what is done with the images: it is neither counted nor an input."""
        self._ignored = path

    def ignores(self, path: str) -> bool:
        """Return whether a path is that of the ignored file."""
        return self._ignored is not None and path.endswith(self._ignored.name) and _is_same(path, self._ignored)

    def add(self, kind: str, path: str) -> None:
        """Count a path."""
        if self.ignores(path):
            return
        self.counts[kind] += 1
        if len(self.first[kind]) < _NAMED:
            self.first[kind].append(path)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def __str__(self) -> str:
        """Return one line: `2 hidden files ('a/._1.jpg', 'a/.DS_Store'), 1 empty folder ('b')`."""
        return ", ".join(self._described(kind) for kind in _NOUNS if kind in self.counts)

    def document(self) -> dict[str, Any]:
        """Return count and first paths of each kind, for JSON."""
        return {kind: {"count": self.counts[kind], "first": self.first[kind]} for kind in _NOUNS if kind in self.counts}

    def _described(self, kind: str) -> str:
        number, names = (
            self.counts[kind],
            ", ".join(f"'{shortened(path, _LENGTH_OF_NAME)}'" for path in self.first[kind]),
        )
        more = f" and {number - _NAMED:,} more" if number > _NAMED else ""
        return f"{count(number, *_NOUNS[kind])} ({names}{more})"


def _is_same(path: str, other: Path) -> bool:
    return os.path.realpath(path) == os.path.realpath(other)
