"""What the folder of a data set contains, and which output is one."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

__all__ = ["SUCCESS", "foreign_name", "is_data_set", "part_name", "parts_of"]

SUCCESS = "_SUCCESS"
"""The empty file that Hadoop and Spark write into a complete data set."""

_PART = re.compile(r"part-\d{5,}\.parquet")
_HIDDEN = (".", "_")
"""First characters of names that readers of data sets ignore."""


def is_data_set(path: str | Path) -> bool:
    """Return whether a table is a data set: its name ends in a slash, or it is a folder without the name of a file."""
    if str(path).endswith("/"):
        return True
    is_folder = os.path.isdir(path)  # noqa: PTH112  (Path.is_dir may raise an error)
    return is_folder and not str(path).lower().endswith((".csv", ".jsonl"))


def part_name(number: int) -> str:
    """Return the name of a part of a data set."""
    return f"part-{number:05d}.parquet"


def parts_of(folder: Path) -> Iterator[Path]:
    """Yield the Parquet files of a data set and its folders, in the order of names, as other readers find them.

    Raises:
        OSError: If a folder cannot be read.
    """
    with os.scandir(folder) as entries:
        found = sorted((each for each in entries if not each.name.startswith(_HIDDEN)), key=lambda each: each.name)
    for entry in found:
        if entry.is_dir():
            yield from parts_of(Path(entry.path))
        elif entry.name.endswith(".parquet"):
            yield Path(entry.path)


def foreign_name(folder: Path) -> str | None:
    """Return the name of something in a folder that is no part of a data set of camserve; None without any.

    Raises:
        OSError: If the folder cannot be read.
    """
    with os.scandir(folder) as entries:
        return next((each.name for each in entries if not _is_own(each)), None)


def _is_own(entry: os.DirEntry[str]) -> bool:
    named = entry.name == SUCCESS or _PART.fullmatch(entry.name) is not None
    return named and stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode)
