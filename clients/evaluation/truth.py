"""The true label of each row: from the folder of its image, from a CSV file, or from a column of the table."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from camserve.clients.evaluation.answers import Answers, class_name
from camserve.clients.evaluation.table_rows import read_csv
from camserve.errors import UsageError
from camserve.text import listed, printable, reason

__all__ = ["FOLDER", "check_truth", "read_truth"]

FOLDER = "folder"
"""The value of `truth` for the names of folders."""

Truth = tuple[str | None, ...]


def read_truth(answers: Answers, truth: str | Path) -> Truth:
    """Return the true label of each row; None where it has none.

    Args:
        answers: The rows; if a column was read with them, it contains the true labels.
        truth: `"folder"`: the name of the folder that an image is in. Otherwise a CSV file with the columns `path` and
            `label`. Its paths are those of the table, or their ends: `cat/1.jpg` matches `photos/cat/1.jpg`.

    Raises:
        UsageError: If the file cannot be read, gives a path two labels, or a path in it is the end of several paths.
    """
    if answers.column is not None:
        return answers.column
    if truth == FOLDER:
        return tuple(map(_folder, answers.paths))
    return _Labels(Path(truth)).of_rows(answers)


def check_truth(truth: str | Path) -> None:
    """Check that true labels can be read, before images are scored.

    Raises:
        UsageError: As for `read_truth`, but for what depends on the paths.
    """
    if truth != FOLDER:
        _Labels(Path(truth))


def _folder(path: str) -> str | None:
    name = PurePosixPath(path).parent.name
    return None if name in ("", "..") else name


class _Labels:
    """The labels of a CSV file."""

    def __init__(self, path: Path) -> None:
        self._file = printable(path)
        self._labels: dict[str, str] = {}
        try:
            self._read(path)
        except OSError as error:
            raise UsageError(
                f"cannot read true labels from {self._file}: {reason(error, path)}",
                hint="Pass a CSV file with the columns path and label: --truth FILE",
            ) from None
        if not self._labels:
            raise UsageError(f"{self._file} has no rows", hint="Write a line with path and label for each image")

    def of_rows(self, answers: Answers) -> Truth:
        """Return the label of each row."""
        ends: dict[str, str] = {}
        return tuple(self._of_path(path, ends) for path in answers.paths)

    def _of_path(self, path: str, ends: dict[str, str]) -> str | None:
        """Return the label of a path, and record of which path an entry is the end."""
        parts = _normal(path).split("/")
        for start in range(len(parts)):
            end = "/".join(parts[start:])
            if end not in self._labels:
                continue
            if start and ends.setdefault(end, path) != path:
                raise UsageError(
                    f"{self._file}: {end!r} is the end of several paths of the table: {listed((ends[end], path))}",
                    hint="Write more of the path in each line",
                )
            return self._labels[end]
        return self._labels.get(os.path.abspath(path))  # noqa: PTH100  (Path keeps ..)

    def _read(self, path: Path) -> None:
        lines: dict[str, str] = {}
        for place, row in read_csv(path, ("path", "label")):
            key, label = _normal(_cell(place, row, "path")), _cell(place, row, "label")
            if self._labels.setdefault(key, label) != label:
                raise UsageError(
                    f"{place}: {printable(key)} has the label {label!r}, and in {lines[key]} {self._labels[key]!r}",
                    hint="Delete one of the two lines",
                )
            lines.setdefault(key, place)


def _cell(place: str, row: Any, column: str) -> str:
    text = class_name(row[column])
    if text is None:
        raise UsageError(f"{place}: {column} is empty", hint="Fill it in, or delete the line")
    return text


_normal: Callable[[str], str] = os.path.normpath
