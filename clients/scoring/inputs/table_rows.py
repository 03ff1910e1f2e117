"""The item of a row of a table."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from camserve.clients.scoring.inputs.named import is_url, item_of_name
from camserve.clients.scoring.inputs.sources import BytesSource, UnreadableSource
from camserve.clients.scoring.items import Item
from camserve.errors import UsageError
from camserve.text import printable

__all__ = ["check_first_path", "item_of_bytes", "item_of_path"]


def item_of_path(table: str, number: int, path: str, id_: str) -> Item:
    """Return the item of a row that contains a path or URL.

    Args:
        table: The table.
        number: The number of the row, from 1.
        path: The path; an empty one is the error of the row.
        id_: The identifier; the number if it is empty.
    """
    id_ = id_ or str(number)
    return item_of_name(path, id_) if path else _empty(table, number, id_, "path")


def item_of_bytes(table: str, number: int, data: bytes | None, id_: str) -> Item:
    """Return the item of a row that contains the bytes of a file; None is the error of the row."""
    id_ = id_ or str(number)
    name = f"{table}:{number}"
    return _empty(table, number, id_, "image") if data is None else Item(name, id_, BytesSource(name, data))


def check_first_path(table: str, path: str) -> None:
    """Refuse a table with paths relative to its own folder, of which every row would have an error.

    Raises:
        UsageError: If the path does not exist in the current folder, but does in that of the table.
    """
    folder = Path(table).parent
    if not path or is_url(path) or is_url(table) or os.path.isabs(path) or os.path.lexists(path):  # noqa: PTH117
        return
    if os.path.lexists(folder / path):
        raise UsageError(
            f"{printable(table)}: {printable(path)} does not exist in the current folder, to which paths in tables are "
            f"relative, but in {printable(folder)}",
            hint=f"Run the command there: cd {shlex.quote(printable(folder))}",
        )


def _empty(table: str, number: int, id_: str, what: str) -> Item:
    name = f"{table}:{number}"
    return Item(name, id_, UnreadableSource(f"{printable(name)} contains no {what}", "Fill in the cell"))
