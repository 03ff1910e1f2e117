"""The record of a run: the rows that are finished, beside its table, so that an interrupted run can go on.

It is a file of JSON Lines with the name of the table and `.unfinished`: a line that describes the run, and a line for
each row, in the order in which rows were finished. The last row of an image counts.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from camserve import __version__
from camserve.clients.scoring.record_file import RecordFile
from camserve.clients.scoring.record_index import RecordIndex
from camserve.clients.scoring.record_lines import header_line, header_of, is_start, key_of, row_line, row_of
from camserve.clients.scoring.rows import ScoredRow
from camserve.errors import UsageError
from camserve.text import count, excerpt, printable

__all__ = ["Record", "record_path"]

_log = logging.getLogger("camserve.clients")


def record_path(output: str | Path) -> Path:
    """Return where the rows of an unfinished table are recorded; links to the table share it."""
    real = Path(os.path.realpath(output))
    return real.with_name(f"{real.name}.unfinished")


class Record:
    """The rows of a run that are finished, as a context manager.

    It is removed if it contains no row, or if `finish` was called.

    Args:
        output: The table.
        options: What influences the rows, by the name of its option: values that JSON can represent.
        resume: True: go on with the rows of an interrupted run, if there are any. False: replace them. None: refuse
            them.

    Attributes:
        path: The file.
        name: What messages call it.
        rows: Number of images with a row.

    Raises:
        UsageError: If there are rows of an interrupted run and `resume` is None, or they are of a run with other
            options; or if the file cannot be opened.
        ClientError: If another run has opened it.
    """

    def __init__(self, output: str | Path, options: Mapping[str, Any], *, resume: bool | None = None) -> None:
        self._output = output
        self.path = record_path(output)
        self.name = _name(output, self.path)
        self.rows = 0
        self._header = header_line(__version__, options)
        self._begun = self._finished = False
        self._index = RecordIndex()
        self._file = RecordFile(self.path, self.name)
        self._reader: BinaryIO | None = None
        try:
            self._recover(resume)
        except BaseException:
            self._close(remove=not self._file.size)
            raise

    def __enter__(self) -> Record:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(remove=self._finished or not (self.rows or self._index.rows))

    def find(self, path: str, id_: str) -> ScoredRow | None:
        """Return the last row of an image that an interrupted run recorded, or None."""
        if self._reader is None:
            return None
        for offset in self._index.offsets(key_of(path, id_)):
            self._reader.seek(offset)
            row = row_of(self._reader.readline())  # of a line with a correct checksum
            if (row.path, row.id) == (path, id_):
                return row
        return None

    def append(self, row: ScoredRow, *, replaces: bool = False) -> None:
        """Record a row.

        Args:
            row: The row.
            replaces: Whether it replaces the row that `find` returns for its image.

        Raises:
            ClientError: If it cannot be written.
        """
        if not self._begun:
            self._file.truncate(0)
            self._file.append(self._header)
            self._begun = True
        self._file.append(row_line(row, replaces=replaces))
        self.rows += not replaces

    def finish(self) -> None:
        """Remove the record at the end, because the table is complete."""
        self._finished = True

    def _recover(self, resume: bool | None) -> None:
        """Read the record of an interrupted run."""
        with self._file.reader() as stream:
            header = stream.readline()
            self._index.read(stream, self._file.size)
        if resume is False:
            return
        before = self._options(header)
        if not self._index.rows:
            if resume:
                _log.warning("no row of %s was recorded, so that all images are scored", printable(self._output))
            return
        if resume is None:
            raise UsageError(
                f"{self.name} contains {count(self._index.rows, 'row')} of an interrupted run",
                hint="Add --resume to go on with it, or --no-resume to score all images again",
            )
        self._check_same(before)
        self._repair()
        self.rows, self._begun = self._index.rows, True
        self._reader = self._file.reader()

    def _options(self, header: bytes) -> dict[str, Any]:
        """Return the options of the interrupted run; none if it was interrupted before they were written."""
        try:
            return header_of(header) if header.endswith(b"\n") or not is_start(header) else {}
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{self.name} is not the record of an interrupted run: {error}",
                hint="Rename it, or add --no-resume to replace it",
            ) from None

    def _check_same(self, before: Mapping[str, Any]) -> None:
        now = header_of(self._header)
        names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if names:
            changes = (f"{name} was {_shown(before.get(name))} and is {_shown(now.get(name))}" for name in names)
            raise UsageError(
                f"{self.name} is of a run with other options: {', '.join(changes)}",
                hint="Pass the same options with --resume, or --no-resume to score all images again",
            )

    def _repair(self) -> None:
        if self._index.damaged:
            _log.warning("%s: %s damaged, and their images are scored again", self.name, _damaged(self._index.damaged))
        if self._index.torn:
            _log.warning(
                "%s ended with %s of an incomplete row, which were cut off; its image is scored again",
                self.name,
                count(self._index.torn, "byte"),
            )
            self._file.truncate(self._index.end)

    def _close(self, *, remove: bool) -> None:
        if self._reader is not None:
            self._reader.close()
        self._file.close(remove=remove)


def _name(output: str | Path, path: Path) -> str:
    """Return the path as the user would write it, unless the table is a link."""
    given = f"{str(output).rstrip('/')}.unfinished"
    return printable(given if os.path.realpath(given) == str(path) else path)


def _shown(value: object) -> str:
    return "not set" if value is None else excerpt(value)


def _damaged(lines: int) -> str:
    return f"{count(lines, 'line')} {'is' if lines == 1 else 'are'}"
