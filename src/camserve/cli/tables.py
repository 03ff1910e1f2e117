"""Tables on stdout that fit the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

from camserve.cli.console import print_note
from camserve.text import printable

__all__ = ["print_table", "table_fits"]

_WIDTH_OF_FILES = 160
_GAP = 2  # between two columns: the padding and the divider of SIMPLE_HEAD
_MARGIN = 2


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, optional: Sequence[str] = ()) -> None:
    """Print a table to stdout.

    In a terminal too narrow for it, the optional columns are left out, with a note that names them. Then cells are
    wrapped. No value is cut.

    Args:
        columns: The headings. Columns whose heading ends in a blank are numbers, aligned to the right.
        rows: One value per column each.
        optional: Headings of columns that may be left out, the least important first.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[printable(str(cell)) for cell in row] for row in rows]
    width = _width()
    shown = list(range(len(columns)))
    left_out = []
    for heading in optional:
        if _natural_width([[row[index] for index in shown] for row in [list(columns), *cells]]) <= width:
            break
        left_out.append(heading.strip())
        shown.remove(columns.index(heading))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for index in shown:
        heading = columns[index]
        table.add_column(heading.strip(), justify="right" if heading.endswith(" ") else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(row[index]) for index in shown))
    Console(file=sys.stdout, width=width).print(table)
    if left_out:
        print_note(f"Not shown at this width: {', '.join(left_out)}; --json shows everything")


def table_fits(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> bool:
    """Return whether the output is wide enough for a table, so that no cell is wrapped."""
    return _natural_width([list(columns), *([printable(str(cell)) for cell in row] for row in rows)]) <= _width()


def _width() -> int:
    """Return the width of the output: $COLUMNS, or the terminal's, or that of a file."""
    from rich.console import Console

    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    return Console(file=sys.stdout).width if sys.stdout.isatty() else _WIDTH_OF_FILES


def _natural_width(rows: Sequence[Sequence[str]]) -> int:
    """Return the width at which no cell of the rows, headings included, is wrapped."""
    from rich.cells import cell_len

    widths = [max(cell_len(cell.strip()) for cell in column) for column in zip(*rows, strict=True)]
    return sum(widths) + _GAP * (len(widths) - 1) + _MARGIN
