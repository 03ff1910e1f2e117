"""Write rows to a file, which replaces an existing one when it is complete."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from camserve.atomic import replace_file
from camserve.clients.scoring.rows import ScoredRow
from camserve.errors import ClientError
from camserve.images.left_out import LeftOut
from camserve.text import printable

__all__ = ["TableSummary", "count_rows", "write_rows"]


@dataclass(frozen=True)
class TableSummary:
    """What a table contains.

    Attributes:
        rows: Number of rows.
        errors: Number of rows with an error.
        access_kept: False if the table replaced one whose owner, group, mode or access control list it could not be
            given. Nobody may then read it who could not read the other.
        versions: Number of rows that each version of the model answered, in the order of their first rows. Rows with an
            error have no version.
        kept: Number of rows that `score_table` took from the record of an interrupted run.
        seconds: Duration of the run; 0 if only the table was written.
        replaced: Whether `score_table` replaced a table.
        left_out: What the search of folders by `score_table` left out.
    """

    rows: int
    errors: int
    access_kept: bool = True
    versions: Mapping[str, int] = field(default_factory=dict, hash=False)
    kept: int = 0
    seconds: float = 0.0
    replaced: bool = False
    left_out: LeftOut | None = field(default=None, compare=False)

    @property
    def scored(self) -> int:
        """Number of rows that were scored in this run."""
        return self.rows - self.kept


def write_rows(
    path: str | Path, rows: Iterable[ScoredRow], write: Callable[[BinaryIO, Iterable[ScoredRow]], None]
) -> TableSummary:
    """Write rows to a file, and count them.

    Args:
        path: The file; if it is a symbolic link, the file that it points to.
        rows: The rows.
        write: Writes the rows into the file.

    Raises:
        ClientError: If the file cannot be written; an existing one remains.
        Exception: Every exception of `rows` and `write`, unchanged; an existing file remains.
    """

    def replace(counted: Iterable[ScoredRow]) -> bool:
        with replace_file(Path(os.path.realpath(path))) as table:
            write(table.stream, counted)
        return table.access_kept

    return count_rows(path, rows, replace)


def count_rows(
    path: str | Path, rows: Iterable[ScoredRow], write: Callable[[Iterable[ScoredRow]], bool]
) -> TableSummary:
    """Count rows as they are written.

    Args:
        path: The table, for messages.
        rows: The rows.
        write: Writes the rows, and returns whether the access of an existing table was kept.

    Raises:
        ClientError: If `write` raises an OSError.
        Exception: Every other exception of `write`, and every exception of `rows`, unchanged.
    """
    counted = _CountedRows(rows)
    try:
        access_kept = write(counted)
    except OSError as error:
        if error is counted.raised:
            raise
        raise ClientError(
            f"{printable(path)} cannot be written: {error.strerror or error}",
            hint="Check free space and permissions of its folder",
        ) from None
    finally:
        counted.raised = None  # its traceback refers to this frame
    return TableSummary(counted.rows, counted.errors, access_kept, dict(counted.versions))


class _CountedRows:
    """Rows that are counted as they are written.

    Attributes:
        rows: Number of rows.
        errors: Number of rows with an error.
        versions: Number of rows that each version answered.
        raised: An OSError raised by the rows, such as a lost connection, which does not concern the file.
    """

    def __init__(self, rows: Iterable[ScoredRow]) -> None:
        self._rows = rows
        self.rows = 0
        self.errors = 0
        self.versions: Counter[str] = Counter()
        self.raised: OSError | None = None

    def __iter__(self) -> Iterator[ScoredRow]:
        try:
            for row in self._rows:
                self.rows += 1
                self.errors += row.error is not None
                if row.version is not None:
                    self.versions[row.version] += 1
                yield row
        except OSError as error:
            self.raised = error
            raise
