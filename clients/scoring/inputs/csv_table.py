"""Read the paths of images from a CSV table, row by row."""

from __future__ import annotations

import csv
import io
import os
import shlex
from collections.abc import Callable, Iterator, Sequence

from camserve.clients.scoring.inputs.columns import ColumnNames, choose
from camserve.clients.scoring.inputs.containers import Container
from camserve.clients.scoring.inputs.lists import encoding_other_than_utf8
from camserve.clients.scoring.inputs.named import is_url
from camserve.clients.scoring.inputs.table_rows import check_first_path, item_of_path
from camserve.clients.scoring.items import Item
from camserve.errors import UsageError
from camserve.images.file_names import IMAGES, kind_by_name
from camserve.images.left_out import LeftOut
from camserve.text import count, printable

__all__ = ["items_of_csv"]


def items_of_csv(
    table: Container, requested: ColumnNames, left_out: LeftOut, report: Callable[[str], None]
) -> Iterator[Item]:
    """Yield an item for each row of a CSV file in UTF-8 with a header.

    Args:
        table: The file.
        requested: The columns that were requested.
        left_out: Counts a table without rows.
        report: Takes the message about a column that was found.

    Raises:
        UsageError: If it cannot be read, a row has too many or too few cells, or its columns do not fit.
    """
    if requested.bytes is not None:
        raise UsageError(
            f"{printable(table.name)}: a CSV table cannot contain the bytes of files",
            hint="Pass a column of paths: --path-column NAME, or a .parquet table",
        )
    with io.TextIOWrapper(table.open(in_order=True), "utf-8-sig", "surrogateescape", newline="") as stream:
        lines = csv.reader(stream, strict=True)
        try:
            header = next(lines, [])
            _check_header(table.name, header, requested)
            choice = choose(table.name, header, requested, report=report)
            path, id_ = header.index(choice.images), None if choice.id is None else header.index(choice.id)
            number = 0
            for number, cells in enumerate(filter(None, lines), 1):
                if len(cells) != len(header):
                    raise UsageError(
                        f"{printable(table.name)}, line {lines.line_num}: the row has {count(len(cells), 'cell')}, and "
                        f"the header {len(header)}",
                        hint="Correct or delete the line; cells with a comma are in quotes",
                    )
                if number == 1:
                    check_first_path(table.name, cells[path])
                yield item_of_path(table.name, number, cells[path], "" if id_ is None else cells[id_])
            if not number:
                left_out.add("empty_tables", table.name)
        except csv.Error as error:
            raise UsageError(
                f"{printable(table.name)}, line {lines.line_num}: {error}", hint="Correct or delete the line"
            ) from None


def _check_header(table: str, header: Sequence[str], requested: ColumnNames) -> None:
    """Refuse a file in another encoding, with another separator, or without a header, whose first image would be lost.

    Raises:
        UsageError: If it is one.
    """
    first = header[0] if header else ""
    if encoding := encoding_other_than_utf8(first.encode(errors="surrogateescape")):
        raise UsageError(f"{printable(table)} is in {encoding}, not UTF-8", hint="Write the table as UTF-8")
    if len(header) != 1 or requested.path is not None:
        return
    if ";" in first or "\t" in first:
        raise UsageError(
            f"{printable(table)}: there are no commas between the columns of {first!r}",
            hint="Write the table with commas, or select its only column: --path-column NAME",
        )
    if is_url(first) or kind_by_name(os.path.basename(first)) == IMAGES or os.path.isfile(first):  # noqa: PTH113, PTH119
        raise UsageError(
            f"{printable(table)} has no header: its first line is the path {first!r}",
            hint=f"Pass it as a list: --files-from {shlex.quote(printable(table))}, or add a first line: path",
        )
