"""Score images into a table: one run, whose rows are recorded, so that another run goes on if it is interrupted."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from camserve.atomic import remove_leftovers
from camserve.clients.scoring.answerer import AnswererOptions
from camserve.clients.scoring.engine import ThreadEngine, check_concurrency
from camserve.clients.scoring.inputs import check_exist, check_several, find_images
from camserve.clients.scoring.items import Item, item_of_file
from camserve.clients.scoring.record import Record
from camserve.clients.scoring.recorded_rows import RecordedRows
from camserve.clients.scoring.row_options import RowOptions
from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.scoring.run_identity import run_identity
from camserve.clients.scoring.served_answerer import ServedOptions
from camserve.clients.tables.output import Format, Output
from camserve.clients.tables.table_file import TableSummary
from camserve.images.crops import Crops
from camserve.images.decode_options import AS_KERAS, DecodeOptions
from camserve.images.left_out import LeftOut
from camserve.text import count, printable

__all__ = ["score_table"]

_log = logging.getLogger("camserve.clients")

_CONCURRENCY = 8

Progress = Callable[[Iterable[ScoredRow], int], Iterable[ScoredRow]]


def score_table(
    inputs: Iterable[str | Path],
    output: str | Path,
    *,
    model: str,
    url: str | Sequence[str] = "localhost:8001",
    format: Format = "table",  # noqa: A002  (the name of the option)
    top: int | None = None,
    all_probabilities: bool = False,
    spreadsheet_safe: bool = False,
    crops: Crops | None = None,
    decode_options: DecodeOptions = AS_KERAS,
    resume: bool | None = None,
    concurrency: int | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> TableSummary:
    """Score images into a table, with one row each in the order of the inputs.

    Rows are recorded as they are finished, in a file beside the table with `.unfinished` after its name, which is
    removed when the table is complete. If the run is interrupted, by an exception, Ctrl-C or a signal that kills it, a
    run with `resume=True` and the same options takes over the recorded rows of images that have not changed, and
    scores the others. Rows with an error are tried again, and so are those of a version that no longer answers.

    Args:
        inputs: Files, folders and patterns; see `find_images`.
        output: The table; see `write_table`.
        model: Name of the model on the server.
        url: See `Classifier`.
        format: `table`, or `camera` for what `write_camera_submission` writes.
        top: Number of classes in each row (default: 5, or all if the model has fewer).
        all_probabilities: Whether the table has a column with the probability of each class.
        spreadsheet_safe: See `write_table`.
        crops: Crops of each image to classify instead of the whole.
        decode_options: How images are decoded, and their limits.
        resume: True: go on with an interrupted run, if there is one. False: score all images again. None: refuse to
            choose if there is one.
        concurrency: Number of requests in progress at once (default: 8).
        progress: Takes the rows as they are finished and the number of images, and yields the rows.
        settings: Further arguments of `Classifier`, such as `version`, `pin_version`, `timeout`, `tls` and `token`.

    Returns:
        What the table contains, and how it came about.

    Raises:
        UsageError: If an option is invalid, an input does not exist, the table cannot be written, or an interrupted run
            was neither resumed nor replaced, or had other options.
        ConnectionFailedError: If the server is unreachable.
        DeadlineError: If the server does not reply in time.
        RequestError: If the server no longer serves the model.
        ContractError: If a reply does not match the contract.
        ClientError: If table or record cannot be written, or another run writes the same table.
    """
    started = time.monotonic()
    check_several(inputs)
    given = list(inputs)
    check_exist(given)
    if concurrency is not None:
        check_concurrency(concurrency)
    target = Output(
        path=output,
        format=format,
        top=top,
        all_probabilities=all_probabilities,
        spreadsheet_safe=spreadsheet_safe,
    )
    options = RowOptions(
        top=target.ranks, crops=crops, all_probabilities=all_probabilities, decode_options=decode_options
    )
    answerer = ServedOptions(url, model, {**settings, "decode_options": decode_options})
    run = _Run(given, target, answerer, options, concurrency or _CONCURRENCY, progress)
    with Record(output, run_identity(model, options, settings), resume=resume) as record:
        summary = run.finish(record)
        record.finish()
    return replace(summary, seconds=time.monotonic() - started)


@dataclass(frozen=True)
class _Run:
    """A run whose options were checked."""

    inputs: Sequence[str | Path]
    target: Output
    answerer: AnswererOptions
    options: RowOptions
    concurrency: int
    progress: Progress | None

    def finish(self, record: Record) -> TableSummary:
        """Score the images whose rows are not recorded, and write the table."""
        table = Path(os.path.realpath(self.target.path))
        remove_leftovers(table)
        left_out = LeftOut(ignored=record.path)
        # Counted rather than listed, so that a million paths need not be in memory.
        total = self.target.count(self._items(left_out))
        replaced = table.exists()
        with _interruptions_reported(record, total), closing(self.answerer.open()) as answerer:
            engine = ThreadEngine(answerer, self.options, concurrency=self.concurrency)
            recorded = RecordedRows(record, engine.model)
            with closing(engine.rows(recorded.items(self._items(LeftOut())))) as scored:
                rows = recorded.rows(scored)
                shown = rows if self.progress is None else self.progress(rows, total)
                summary = self.target.write(shown, [label.name for label in engine.model.labels])
        _report_other_versions(recorded.other_versions, engine.model.version)
        return replace(summary, kept=recorded.kept, replaced=replaced, left_out=left_out)

    def _items(self, left_out: LeftOut) -> Iterator[Item]:
        return map(item_of_file, find_images(self.inputs, left_out=left_out))


@contextmanager
def _interruptions_reported(record: Record, total: int) -> Iterator[None]:
    """Log what is recorded, and how to go on, if the block ends by an exception, a signal or Ctrl-C."""
    try:
        yield
    except BaseException:
        if record.rows:
            _log.warning(
                "%s of %s are recorded in %s; to go on, run the same command with --resume (in Python: resume=True)",
                f"{record.rows:,}",
                count(total, "row"),
                printable(record.path),
            )
        raise


def _report_other_versions(versions: Mapping[str, int], now: str) -> None:
    for version, rows in versions.items():
        _log.warning(
            "%s recorded by version %s scored again by version %s",
            count(rows, "row"),
            f"{printable(version)} {'was' if rows == 1 else 'were'}",
            printable(now),
        )
