"""Read the paths of images from a CSV table, row by row."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator

from camserve.clients.scoring.inputs.columns import ColumnNames, choose
from camserve.clients.scoring.inputs.containers import Container
from camserve.clients.scoring.inputs.table_rows import check_first_path, item_of_path
from camserve.clients.scoring.items import Item
from camserve.errors import UsageError
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
