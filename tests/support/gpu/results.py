"""What was measured and what could not be, as JSON and as tables."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["WIDTH", "Results", "pivot", "table"]

WIDTH = 120
_NARROWEST = 3
Row = dict[str, Any]


@dataclass
class Results:
    """Rows by part, and what was omitted.

    Attributes:
        host: What the host has.
        progress: Called with a line for each row and each omission, since a run takes minutes.
        rows: The rows of each part.
        omitted: What could not be measured, each with `part`, `what` and `reason`.
    """

    host: Mapping[str, Any]
    progress: Callable[[str], object]
    rows: dict[str, list[Row]] = field(default_factory=dict)
    omitted: list[dict[str, str]] = field(default_factory=list)

    def add(self, part: str, row: Row) -> None:
        """Add a row."""
        self.rows.setdefault(part, []).append(row)
        self.progress(f"{part}: {json.dumps(row)}"[:WIDTH])

    def omit(self, part: str, what: str, reason: object) -> None:
        """Record what could not be measured and why."""
        text = " ".join(str(reason).split())
        self.omitted.append({"part": part, "what": what, "reason": text})
        self.progress(f"{part}: {what} omitted: {text}"[:WIDTH])

    def of(self, part: str) -> list[Row]:
        """Return the rows of a part."""
        return self.rows.get(part, [])

    def document(self) -> dict[str, Any]:
        """Return everything as a JSON object."""
        return {"host": dict(self.host), "rows": self.rows, "omitted": self.omitted}

    def omissions(self) -> str:
        """Return the list of what was omitted, with the reasons in full."""
        if not self.omitted:
            return "Omitted: nothing."
        lines = [
            textwrap.fill(f"- {each['part']}, {each['what']}: {each['reason']}", WIDTH, subsequent_indent="  ")
            for each in self.omitted
        ]
        return "\n".join(["Omitted:", *lines])


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table whose columns are aligned, numbers to the right."""
    texts = [list(map(_text, row)) for row in rows]
    widths = [max(_NARROWEST, *map(len, column)) for column in zip(heads, *texts, strict=True)]
    right = [bool(rows) and all(not isinstance(row[place], str) for row in rows) for place in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        placed = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(cells, widths, right, strict=True)
        ]
        return f"| {' | '.join(placed)} |"

    rule = [f"{'-' * (width - 1)}{':' if to_right else '-'}" for width, to_right in zip(widths, right, strict=True)]
    return "\n".join([line(list(heads)), line(rule), *map(line, texts)])


def pivot(rows: Sequence[Row], names: Sequence[str], column: str, value: str) -> tuple[list[str], list[list[object]]]:
    """Return heads and rows of a table with one column for each value of `column`; missing values are None.

    Args:
        rows: The rows.
        names: The keys of the first columns.
        column: The key whose values become columns.
        value: The key of the values in them.
    """
    columns = sorted({row[column] for row in rows})
    lines: dict[tuple[object, ...], dict[object, object]] = {}
    for row in rows:
        lines.setdefault(tuple(row[name] for name in names), {})[row[column]] = row.get(value)
    heads = [*names, *map(str, columns)]
    return heads, [[*key, *(found.get(each) for each in columns)] for key, found in lines.items()]


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return str(value)
