"""Batches of data frames, of any kind that Spark and Ray have: the images in them, and tables of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from camserve.clients.arrow import import_pyarrow
from camserve.clients.scoring.inputs.named import item_of_name
from camserve.clients.scoring.inputs.sources import BytesSource, UnreadableSource
from camserve.clients.scoring.items import Item
from camserve.errors import UsageError

__all__ = ["InputColumns", "read_batch"]


class InputColumns:
    """The columns that contain the images; see `BatchScorer`.

    Raises:
        UsageError: If no column contains them, or none names them.
    """

    def __init__(self, path: str | None, data: str | None, id_: str | None) -> None:
        if path is None and data is None:
            raise UsageError(
                "path_column or bytes_column is required", hint="Name the column that contains the images: path_column="
            )
        if data is not None and path is None and id_ is None:
            raise UsageError("bytes_column requires path_column or id_column", hint="Name the images: id_column=")
        self._path, self._data, self._id = path, data, id_

    def items(self, values: Callable[[str], Sequence[Any]]) -> list[Item]:
        """Return the item of each row of a batch."""
        names = [_text(each) for each in values(self._path or str(self._id))]
        ids = names if self._id is None else [_text(each) for each in values(self._id)]
        if self._data is None:
            return [
                item_of_name(name, id_) if name else _empty(id_, "path") for name, id_ in zip(names, ids, strict=True)
            ]
        images = map(_bytes, values(self._data))
        return [
            _empty(name or id_, "image") if data is None else Item(name, id_, BytesSource(name or id_, data))
            for name, id_, data in zip(names, ids, images, strict=True)
        ]


def _empty(name: str, what: str) -> Item:
    return Item(name, name, UnreadableSource(f"the row {name!r} contains no {what}", "Fill in the cell"))


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value)  # noqa: PLR0124  (NaN, which pandas has for None)


def _bytes(value: Any) -> bytes | None:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if value is None or value != value:  # noqa: PLR0124  (NaN)
        return None
    raise UsageError(
        f"bytes_column must contain bytes, got {type(value).__name__}", hint="Name the column of bytes: bytes_column="
    )


def read_batch(batch: Any) -> tuple[Callable[[str], Sequence[Any]], Callable[[Any], Any]]:
    """Return how to get the values of a column of a batch, and how to make a batch of its kind of an Arrow table."""
    arrow, _ = import_pyarrow()
    if isinstance(batch, Mapping):
        return _column_reader(batch, list(batch), _values_of_array), _same
    if isinstance(batch, arrow.Table):
        return _column_reader(batch, batch.column_names, _values_of_arrow), _same
    if isinstance(batch, arrow.RecordBatch):
        return _column_reader(batch, batch.schema.names, _values_of_arrow), _to_record_batch
    if hasattr(batch, "columns") and hasattr(batch, "iloc"):
        return _column_reader(batch, list(batch.columns), list), _to_pandas
    raise UsageError(
        f"unsupported type of batch: {type(batch).__name__}",
        hint="Pass a pandas DataFrame, a pyarrow Table or RecordBatch, or a dictionary of arrays",
    )


def _column_reader(
    batch: Any, names: Sequence[str], values: Callable[[Any], Sequence[Any]]
) -> Callable[[str], Sequence[Any]]:
    def column(name: str) -> Sequence[Any]:
        if name not in names:
            raise UsageError(
                f"the batch has no column {name!r}; its columns are: {', '.join(map(str, names))}",
                hint="Name an existing one: path_column=, bytes_column=, id_column=",
            )
        return values(batch[name])

    return column


def _values_of_arrow(column: Any) -> Sequence[Any]:
    values: list[Any] = column.to_pylist()
    return values


def _values_of_array(column: Any) -> Sequence[Any]:
    array = np.asarray(column)
    if array.dtype.kind == "S":
        raise UsageError(
            "an array of the type 'S' loses zero bytes at the end of files",
            hint="Pass batch_format='pyarrow' to map_batches",
        )
    values: list[Any] = array.tolist()
    return values


def _same(table: Any) -> Any:
    return table


def _to_record_batch(table: Any) -> Any:
    arrow, _ = import_pyarrow()
    merged = table.combine_chunks().to_batches()
    return merged[0] if merged else arrow.RecordBatch.from_pylist([], schema=table.schema)


def _to_pandas(table: Any) -> Any:
    import pandas  # noqa: PLC0415  (of the user)

    arrow, _ = import_pyarrow()
    return table.to_pandas(types_mapper={arrow.int32(): pandas.Int32Dtype()}.get)
