"""Read paths or bytes of images from a Parquet table, in batches of few rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from camserve.clients.arrow import import_pyarrow
from camserve.clients.scoring.inputs.columns import Choice, ColumnNames, choose
from camserve.clients.scoring.inputs.containers import Container
from camserve.clients.scoring.inputs.table_rows import check_first_path, item_of_bytes, item_of_path
from camserve.clients.scoring.items import Item
from camserve.errors import ClientError, UsageError
from camserve.images.left_out import LeftOut
from camserve.text import printable

__all__ = ["ParquetTable"]

_BUFFER = 1024 * 1024
"""Bytes of a column that are read at once; without it, all of a row group. A page is decompressed as a whole."""
_BYTES_OF_BATCH = 4 * 1024 * 1024
_ROWS_OF_BATCH = 4096
_IMAGES_OF_BATCH = 64


class ParquetTable:
    """The images of a Parquet file. Their number is read from its metadata.

    A column of bytes contains image files, or structures of `bytes` and `path` as data sets of Hugging Face do. Items
    hold the bytes, so that the file is read once, from start to end, whatever processes score them.

    Args:
        table: The file.
        requested: The columns that were requested.
        left_out: Counts a table without rows.
        report: Takes the message about a column that was found.
    """

    def __init__(
        self, table: Container, requested: ColumnNames, left_out: LeftOut, report: Callable[[str], None]
    ) -> None:
        self._table = table
        self._requested = requested
        self._left_out = left_out
        self._report = report

    def __len__(self) -> int:
        with self._opened() as (file, _):
            return int(file.metadata.num_rows)

    def __iter__(self) -> Iterator[Item]:
        """Yield an item for each row.

        Raises:
            CamserveError: If the file cannot be read, or its columns do not fit.
        """
        with self._opened() as (file, choice):
            number = 0
            for batch in file.iter_batches(_batch_size(file.metadata, choice), columns=choice.names):
                images = batch.column(choice.images)
                ids = None if choice.id is None else batch.column(choice.id)
                for row in range(batch.num_rows):
                    number += 1
                    id_ = "" if ids is None else _text(ids[row].as_py())
                    yield self._item(number, images[row].as_py(), id_, choice)

    def _item(self, number: int, cell: Any, id_: str, choice: Choice) -> Item:
        name = self._table.name
        if not choice.holds_bytes:
            path = _text(cell)
            if number == 1:
                check_first_path(name, path)
            return item_of_path(name, number, path, id_)
        if isinstance(cell, dict):
            if cell["bytes"] is None and cell.get("path"):
                return item_of_path(name, number, _text(cell["path"]), id_)
            cell = cell["bytes"]
        return item_of_bytes(name, number, cell, id_)

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Choice]]:
        """Open the file, and choose its columns."""
        arrow, parquet = import_pyarrow(printable(self._table.name))
        with self._table.open() as stream:
            try:
                file = parquet.ParquetFile(stream, buffer_size=_BUFFER, pre_buffer=False)
            except (arrow.ArrowException, OSError) as error:
                raise UsageError(
                    f"{printable(self._table.name)} is not a Parquet file: {printable(str(error))}",
                    hint="Get it again from its source",
                ) from None
            choice = self._chosen(file.schema_arrow, arrow)
            if not file.metadata.num_rows:
                self._left_out.add("empty_tables", self._table.name)
            try:
                yield file, choice
            except (arrow.ArrowException, OSError) as error:
                raise ClientError(
                    f"{printable(self._table.name)} cannot be read: {printable(str(error))}",
                    hint="Get it again from its source",
                ) from None

    def _chosen(self, schema: Any, arrow: Any) -> Choice:
        types = arrow.types
        name = self._table.name
        with_bytes = [field.name for field in schema if _holds_bytes(field.type, types)]
        choice = choose(name, schema.names, self._requested, bytes_columns=with_bytes, report=self._report)
        kind = schema.field(choice.images).type
        if not choice.holds_bytes and not _holds_text(kind, types):
            raise UsageError(
                f"{printable(name)}: column {choice.images!r} contains {kind}, not paths",
                hint="Select another: --path-column NAME or --bytes-column NAME",
            )
        return choice


def _batch_size(metadata: Any, choice: Choice) -> int:
    """Return a number of rows with a few megabytes."""
    if not choice.holds_bytes or not metadata.num_rows:
        return _ROWS_OF_BATCH
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    chunks = (group.column(number) for group in groups for number in range(group.num_columns))
    size = sum(each.total_uncompressed_size for each in chunks if each.path_in_schema.split(".")[0] == choice.images)
    return int(max(1, min(_IMAGES_OF_BATCH, _BYTES_OF_BATCH * metadata.num_rows // max(1, size))))


def _holds_bytes(kind: Any, types: Any) -> bool:
    if types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _holds_bytes(kind.field(place).type, types)
    if types.is_dictionary(kind):
        return _holds_bytes(kind.value_type, types)
    return types.is_fixed_size_binary(kind) or str(kind) in {"binary", "large_binary", "binary_view"}


def _holds_text(kind: Any, types: Any) -> bool:
    if types.is_dictionary(kind):
        return _holds_text(kind.value_type, types)
    return str(kind) in {"string", "large_string", "string_view", "binary", "large_binary", "binary_view"}


def _text(cell: Any) -> str:
    """Return a cell as text; bytes are a path, and empty cells the empty text."""
    if cell is None:
        return ""
    return os.fsdecode(cell) if isinstance(cell, bytes) else str(cell)
