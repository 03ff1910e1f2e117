"""Tables of results, and their text in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Cell", "Table", "format_cell", "goal", "markdown"]

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """The results of a part, or some of them.

    Attributes:
        title: What is compared.
        note: How to read the columns; not what they show.
        columns: Heads of the columns, with units.
        rows: A cell for each column: a number is formatted to three significant digits, None becomes a dash.
        plot: The name of a PNG file in the folder of results that shows the rows, or None.
    """

    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    plot: str | None = None


def goal(what: str, measured: float, limit: float, *, most: bool = False) -> tuple[Cell, ...]:
    """Return the row of a goal, for the columns: goal, measured, limit, met."""
    met = measured <= limit if most else measured >= limit
    return (what, measured, f"at {'most' if most else 'least'} {format_cell(limit)}", "yes" if met else "no")


def format_cell(cell: Cell) -> str:
    """Return the text of a cell.

    >>> [format_cell(cell) for cell in (0.96612, 1234.5, 1.2e-6, 12, None)]
    ['0.966', '1,234', '1.2e-06', '12', '–']
    """
    if cell is None:
        return "–"
    if isinstance(cell, float):
        size = abs(cell)
        if cell and size < 1e-3:
            return f"{cell:.1e}"
        return f"{cell:,.0f}" if size >= 100 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def markdown(table: Table) -> str:
    """Return the title, the note, the rows and the plot of a table."""
    lines = [table.columns, ["---"] * len(table.columns), *(map(format_cell, row) for row in table.rows)]
    parts = [f"**{table.title}.** {table.note}".strip()]
    if table.rows:
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    if table.plot:
        parts.append(f"![{table.title}]({table.plot})")
    return "\n\n".join(parts)
