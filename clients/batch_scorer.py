"""Score the batches of a data frame in the processes of Spark or Ray."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from camserve.argument_checks import check_whole
from camserve.clients.scoring.answerer_choice import answerer_options
from camserve.clients.scoring.chunks import chunk_limit, chunks
from camserve.clients.scoring.cluster.process_scorer import ProcessScorer
from camserve.clients.scoring.engine import check_concurrency
from camserve.clients.scoring.inputs.named import item_of_name
from camserve.clients.scoring.inputs.sources import BytesSource, UnreadableSource
from camserve.clients.scoring.items import Item
from camserve.clients.scoring.patience import check_patience
from camserve.clients.scoring.row_options import RowOptions
from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.tables.arrow_tables import arrow_table
from camserve.clients.tables.checks import import_pyarrow
from camserve.clients.tables.columns import Columns
from camserve.errors import UsageError
from camserve.images.crops import Crops
from camserve.images.decode_options import AS_KERAS, DecodeOptions

__all__ = ["BatchScorer"]

_SPARK_TYPES = {"text": "string", "integer": "int", "number": "float", "bytes": "binary"}


class BatchScorer:
    """The function for Spark's `mapInPandas` and `mapInArrow`, and for Ray's `map_batches`.

    Called with a batch, it returns the rows of its images as a batch; called with an iterator of batches, it yields
    them. Rows are in the order of the images, and have the columns of `write_table`. An image that cannot be read or
    decoded has a row with the error; an error that affects every image is raised.

    Each process of the cluster connects at its first batch, and keeps the connection. Paths are those of the hosts that
    run these processes; URLs are read with fsspec.

    Args:
        model: Name of the model on the server.
        url: The servers; see `Classifier` (default: localhost:8001).
        bundle: Folder of a bundle to answer with instead of a server, on every host.
        path_column: Column with the path or URL of each image.
        bytes_column: Column with the bytes of each image file; `path_column` or `id_column` then names the images.
        id_column: Column with an identifier of each image (default: the path).
        top: Number of classes in each row.
        classes: The label of each class, for a column with the probability of each; see `write_table`.
        maps: Whether rows contain the map of the best class.
        crops: Crops of each image to classify instead of the whole.
        decode_options: How images are decoded, and their limits.
        concurrency: Number of requests in progress at once in each process.
        patience: Seconds to wait for a server that stops to answer, once it has answered; 0 to fail at once.
        settings: Further arguments of `Classifier`, such as `version`, `timeout`, `tls` and `token`.

    Raises:
        UsageError: If an option is invalid, or cannot be sent to other processes.

    Example:
        scorer = BatchScorer(url="triton:8001", model="pets", path_column="path")
        data_frame.mapInPandas(scorer, schema=scorer.schema)  # Spark
        dataset.map_batches(scorer, batch_size=256)  # Ray
    """

    def __init__(
        self,
        *,
        model: str | None = None,
        url: str | Sequence[str] | None = None,
        bundle: str | Path | None = None,
        path_column: str | None = None,
        bytes_column: str | None = None,
        id_column: str | None = None,
        top: int = 5,
        classes: Sequence[str] = (),
        maps: bool = False,
        crops: Crops | None = None,
        decode_options: DecodeOptions = AS_KERAS,
        concurrency: int = 2,
        patience: float = 300.0,
        **settings: Any,
    ) -> None:
        check_whole("top", top)
        check_concurrency(concurrency)
        check_patience(patience)
        self._input = _InputColumns(path_column, bytes_column, id_column)
        self._columns = Columns(top, tuple(classes), maps=maps)
        options = RowOptions(
            top=top, crops=crops, all_probabilities=bool(classes), maps=maps, decode_options=decode_options
        )
        # Processes of a cluster have working folders of their own.
        answerer = answerer_options(model, url, None if bundle is None else Path(bundle).absolute(), settings)
        self._scorer = ProcessScorer(answerer, options, patience, concurrency)
        self._scorer.check_can_be_sent()

    @property
    def schema(self) -> str:
        """The columns and their types, as Spark's `mapInPandas` takes them: `path string, class_1 int, ...`."""
        kinds = {**self._columns.kinds, **dict.fromkeys(self._columns.class_names, "number")}
        return ", ".join(f"{_quoted(name)} {_SPARK_TYPES[kind]}" for name, kind in kinds.items())

    def __call__(self, batches: Any) -> Any:
        """Score a batch, or an iterator of batches.

        Args:
            batches: A pandas DataFrame, a `pyarrow.Table` or `RecordBatch`, or a dictionary of arrays; or an iterator
                of them.

        Returns:
            Their rows, of the same type: an iterator of batches for an iterator; a `pyarrow.Table` for a dictionary.

        Raises:
            UsageError: If a column is missing, or the type of a batch is not supported.
            CamserveError: If an error affects every image.
        """
        if isinstance(batches, Iterator):
            return self._each(batches)
        return self._batch(batches)

    def _each(self, batches: Iterator[Any]) -> Generator[Any, None, None]:
        for batch in batches:
            yield self._batch(batch)

    def _batch(self, batch: Any) -> Any:
        values, convert = _read(batch)
        items = self._input.items(values)
        limit = chunk_limit(self._scorer.model, self._scorer.options) if items else 1
        scored = self._scorer.score(list(chunks(items, limit))) if items else iter(())
        rows: list[ScoredRow] = list(chain.from_iterable(each.rows for each in scored))
        return convert(arrow_table(rows, self._columns))


class _InputColumns:
    """The columns that contain the images."""

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


def _quoted(name: str) -> str:
    return name if name.isidentifier() else f"`{name.replace('`', '``')}`"


def _read(batch: Any) -> tuple[Callable[[str], Sequence[Any]], Callable[[Any], Any]]:
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
