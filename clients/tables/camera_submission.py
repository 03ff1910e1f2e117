"""Write rows as a submission to the camera identification competition: file name and camera."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator
from itertools import tee
from pathlib import Path
from typing import BinaryIO

from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.tables.checks import check_table
from camserve.clients.tables.table_file import TableSummary, write_rows
from camserve.errors import UsageError
from camserve.text import printable

__all__ = ["check_submission", "distinct_names", "write_camera_submission"]


def write_camera_submission(path: str | Path, rows: Iterable[ScoredRow]) -> TableSummary:
    """Write the best class of each file, as the columns `fname` and `camera` of a CSV file.

    `fname` is the name of the file without its folder, `camera` the label with `-` for each `_`, empty for a row with
    an error. Files and exceptions are as for `write_table`.

    Source: https://www.kaggle.com/c/sp-society-camera-model-identification

    Raises:
        UsageError: See `check_submission` and `distinct_names`.
        ClientError: If the file cannot be written; an existing one remains.
        Exception: Every exception of `rows`, unchanged; an existing file remains.
    """
    check_submission(path)
    return write_rows(path, rows, _write)


def check_submission(path: str | Path) -> None:
    """Check that a submission can be written, before any file is scored.

    Raises:
        UsageError: If the extension is not .csv, or the file cannot be written; see `check_table`.
    """
    if Path(path).suffix.lower() != ".csv":
        raise UsageError(
            f"the extension of {printable(path)} must be .csv for a camera submission",
            hint="Rename the file, e.g. submission.csv",
        )
    check_table(path)


def distinct_names(paths: Iterable[str | Path]) -> Iterator[str]:
    """Yield the names of files without their folders.

    Raises:
        UsageError: If two files have one name.
    """
    folders: dict[str, str] = {}  # of which there are few, so that each name is in memory once
    known: dict[str, str] = {}
    for path in paths:
        folder, name = os.path.split(path)
        if name in known:
            other = os.path.join(known[name], name)  # noqa: PTH118
            raise UsageError(
                f"{printable(other)} and {printable(path)} have one name, and a camera submission contains names "
                "without folders",
                hint="Pass one of them only, or rename it",
            )
        known[name] = folders.setdefault(folder, folder)
        yield name


def _write(stream: BinaryIO, rows: Iterable[ScoredRow]) -> None:
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["fname", "camera"])
    listed, again = tee(rows)
    for row, name in zip(listed, distinct_names(each.path for each in again), strict=True):
        writer.writerow([name, row.top[0].label.replace("_", "-") if row.top else ""])
    text.detach()
