"""Find the images in inputs of all kinds, in the order of the inputs."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import suppress
from itertools import chain
from pathlib import Path

from camserve.clients.scoring.inputs.columns import ColumnNames
from camserve.clients.scoring.inputs.containers import Container, LocalContainer
from camserve.clients.scoring.inputs.csv_table import items_of_csv
from camserve.clients.scoring.inputs.files import check_several, items_of_folder
from camserve.clients.scoring.inputs.kinds import CSV, FOLDER, PARQUET, TAR, expanded, kind_of
from camserve.clients.scoring.inputs.lists import PathList
from camserve.clients.scoring.inputs.named import is_url, item_of_name, local_path
from camserve.clients.scoring.inputs.parquet_table import ParquetTable
from camserve.clients.scoring.inputs.remote import RemoteContainer
from camserve.clients.scoring.inputs.tar import items_of_tar
from camserve.clients.scoring.inputs.url_listing import items_of_prefix
from camserve.clients.scoring.items import Item
from camserve.errors import UsageError
from camserve.images.left_out import LeftOut
from camserve.text import printable

__all__ = ["Items", "find_items"]

_log = logging.getLogger("camserve.clients")


def find_items(
    inputs: Iterable[str | Path],
    *,
    files_from: str | Path | None = None,
    path_column: str | None = None,
    bytes_column: str | None = None,
    id_column: str | None = None,
    left_out: LeftOut | None = None,
    report: Callable[[str], None] | None = None,
) -> Items:
    """Find the images to score, of any number, in flat memory.

    Inputs are:

    - files, folders and patterns, as for `find_images`; patterns may contain braces, as in `shard-{000..009}.tar`
    - `.tar` archives such as the shards of a WebDataset
    - `.csv` and `.parquet` tables with a column of paths or URLs; in Parquet also of the bytes of files
    - URLs of files, folders and all these, which fsspec reads

    Args:
        inputs: The inputs.
        files_from: List of further images, one path or URL a line or separated by NUL; `-` for standard input.
        path_column: Column of the tables that contains the paths (default: found if only one can be it).
        bytes_column: Column of the tables that contains the bytes.
        id_column: Column of the tables that contains the identifiers (default: the numbers of the rows, from 1).
        left_out: Counts what is left out (default: it is logged as a warning at the end).
        report: Takes a message about each column that was found (default: it is logged).

    Raises:
        UsageError: If a single path is passed as the inputs, or options do not fit together.
    """
    check_several(inputs)
    columns = ColumnNames(path=path_column, bytes=bytes_column, id=id_column)
    return Items(inputs, files_from, columns, left_out, report)


class Items(Iterable[Item]):
    """The images of the inputs of `find_items`; each iteration finds them again.

    What is left out is counted in the first iteration or count only.
    """

    def __init__(
        self,
        inputs: Iterable[str | Path],
        files_from: str | Path | None,
        columns: ColumnNames,
        left_out: LeftOut | None,
        report: Callable[[str], None] | None,
    ) -> None:
        self._inputs = [os.fspath(each) for each in inputs]
        self._list = None if files_from is None else PathList(files_from)
        self._columns = columns
        self._given_left_out = left_out
        self._finished = False
        self._report_to = _log.info if report is None else report
        self._reported: set[str] = set()

    def __iter__(self) -> Iterator[Item]:
        """Yield the images.

        Raises:
            UsageError: If an input cannot be read or searched, or no image is found.
            CamserveError: If what is under a URL cannot be read.
        """
        left_out = self._left_out()
        number = 0
        for part in self._parts(left_out):
            for item in part:
                number += 1
                yield item
        self._finish(number, left_out)

    def count(self) -> int:
        """Return the number of images, without reading what need not be read for it.

        Raises:
            CamserveError: As for an iteration.
        """
        left_out = self._left_out()
        number = sum(len(part) if isinstance(part, Sized) else sum(1 for _ in part) for part in self._parts(left_out))
        self._finish(number, left_out)
        return number

    def check_exist(self) -> None:
        """Check that files and folders of this host exist, so that a misspelled path does not become a row.

        Raises:
            UsageError: If one does not, or cannot be read.
        """
        for name in self._local_names():
            if not os.path.exists(name):  # noqa: PTH110  (Path.exists may raise)
                raise UsageError(
                    f"{printable(name)} does not exist or cannot be read",
                    hint="Pass a list on standard input by --files-from -" if name == "-" else "Check the path",
                )

    def check_kept(self, output: str | Path) -> None:
        """Check that what is written replaces no input, such as a table, or a part of a data set.

        Raises:
            UsageError: If it does.
        """
        replaced = _replaced_by(output)
        given = [] if self._list is None or self._list.path is None else [self._list.path]
        for name in chain(self._local_names(), given) if replaced else ():
            if _identity(name) in replaced:
                raise UsageError(
                    f"{printable(name)} is an input, and the output {printable(output)} would replace it",
                    hint="Choose another output: --output FILE",
                )

    def _local_names(self) -> Iterator[str]:
        """Yield the files and folders of this host that were given."""
        for given in self._inputs:
            if not is_url(local_path(given)):
                yield from expanded(given)

    def _left_out(self) -> LeftOut:
        return LeftOut() if self._finished or self._given_left_out is None else self._given_left_out

    def _finish(self, number: int, left_out: LeftOut) -> None:
        if not number:
            raise UsageError(
                f"no images found{f'; left out: {left_out}' if left_out else ''}",
                hint="Pass image files, folders, tables or archives that contain images, or a list: --files-from FILE",
            )
        if not self._finished and self._given_left_out is None and left_out:
            _log.warning("left out: %s", left_out)
        self._finished = True

    def _parts(self, left_out: LeftOut) -> Iterator[Iterable[Item]]:
        """Yield the images of each input; those that have a length need not be read to count them."""
        has_table = False
        for name in (each for given in self._inputs for each in expanded(given)):
            if self._given_left_out is not None and self._given_left_out.ignores(name):
                continue
            kind = kind_of(name)
            has_table |= kind in {CSV, PARQUET}
            yield self._part(name, kind, left_out)
        if self._list is not None:
            yield _listed(self._list, left_out)
        if self._columns.options and not has_table:
            options = " and ".join(self._columns.options)
            raise UsageError(
                f"{options} {'applies' if len(self._columns.options) == 1 else 'apply'} to tables, and no input is one",
                hint=f"Pass a .csv or .parquet table, or leave out {options}",
            )

    def _part(self, name: str, kind: str | None, left_out: LeftOut) -> Iterable[Item]:
        """Return the images of a file, a folder or a URL."""
        if kind == FOLDER:
            return items_of_prefix(name, left_out) if is_url(name) else items_of_folder(Path(name), left_out)
        if kind is None:
            return iter([item_of_name(name)])
        container: Container = RemoteContainer(name) if is_url(name) else LocalContainer(Path(name))
        if kind == TAR:
            return items_of_tar(container, left_out)
        if kind == CSV:
            return items_of_csv(container, self._columns, left_out, self._report)
        return ParquetTable(container, self._columns, left_out, self._report)

    def _report(self, message: str) -> None:
        """Report a message once."""
        if message not in self._reported:
            self._reported.add(message)
            self._report_to(message)


def _listed(names: PathList, left_out: LeftOut) -> Iterator[Item]:
    found = False
    for name in names:
        found = True
        yield item_of_name(name)
    if not found:
        left_out.add("empty_lists", names.name)


def _replaced_by(output: str | Path) -> set[tuple[int, int]]:
    """Return the identities of the files that an output replaces: itself, or the parts of a data set."""
    paths = [output]
    with suppress(OSError):  # a file, or none yet; a folder that cannot be read is refused as an output
        paths += [os.path.join(output, name) for name in os.listdir(output)]  # noqa: PTH118, PTH208
    return {identity for path in paths if (identity := _identity(path)) is not None}


def _identity(path: str | Path) -> tuple[int, int] | None:
    """Return what a file has in common with links to it; None for anything but a regular file."""
    with suppress(OSError):
        status = os.stat(path)  # noqa: PTH116
        if stat.S_ISREG(status.st_mode):
            return status.st_dev, status.st_ino
    return None
