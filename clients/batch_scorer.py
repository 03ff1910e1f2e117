"""Score the batches of a data frame in the processes of Spark or Ray."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from camserve.argument_checks import check_whole
from camserve.clients.scoring.answerer_choice import answerer_options
from camserve.clients.scoring.chunks import chunk_limit, chunks
from camserve.clients.scoring.cluster.process_scorer import ProcessScorer
from camserve.clients.scoring.engine import check_concurrency
from camserve.clients.scoring.patience import check_patience
from camserve.clients.scoring.row_options import RowOptions
from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.tables.arrow_tables import arrow_table
from camserve.clients.tables.batches import InputColumns, read_batch
from camserve.clients.tables.columns import Columns
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
        self._input = InputColumns(path_column, bytes_column, id_column)
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
        values, convert = read_batch(batch)
        items = self._input.items(values)
        limit = chunk_limit(self._scorer.model, self._scorer.options) if items else 1
        scored = self._scorer.score(list(chunks(items, limit))) if items else iter(())
        rows: list[ScoredRow] = list(chain.from_iterable(each.rows for each in scored))
        return convert(arrow_table(rows, self._columns))


def _quoted(name: str) -> str:
    return name if name.isidentifier() else f"`{name.replace('`', '``')}`"
