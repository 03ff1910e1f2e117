"""Score images into a table: one run, whose rows are recorded, so that another run goes on if it is interrupted."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from camserve.atomic import remove_leftovers
from camserve.choices import EngineName, OutputFormat
from camserve.clients.file_queries import check_sent
from camserve.clients.scoring.answerer import AnswererOptions
from camserve.clients.scoring.answerer_choice import answerer_options
from camserve.clients.scoring.bundle_session import runtime_of
from camserve.clients.scoring.engine import RowsInProgress
from camserve.clients.scoring.engine_choice import check_engine, open_engine
from camserve.clients.scoring.inputs import Items, check_several, find_items
from camserve.clients.scoring.overlay_folder import make_overlay_folder
from camserve.clients.scoring.overlay_names import check_distinct
from camserve.clients.scoring.record import Record
from camserve.clients.scoring.recorded_rows import RecordedRows
from camserve.clients.scoring.row_options import RowOptions
from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.scoring.run_identity import run_identity
from camserve.clients.tables.output import Output
from camserve.clients.tables.table_file import TableSummary
from camserve.errors import UsageError
from camserve.images.crops import Crops
from camserve.images.decode_options import AS_KERAS, DecodeOptions
from camserve.images.left_out import LeftOut
from camserve.text import count, printable

__all__ = ["score_table"]

_log = logging.getLogger("camserve.clients")

Progress = Callable[[RowsInProgress, int], Iterable[ScoredRow]]


def score_table(
    inputs: Iterable[str | Path],
    output: str | Path,
    *,
    model: str | None = None,
    url: str | Sequence[str] | None = None,
    bundle: str | Path | None = None,
    files_from: str | Path | None = None,
    path_column: str | None = None,
    bytes_column: str | None = None,
    id_column: str | None = None,
    format: OutputFormat = "table",  # noqa: A002  (the name of the option)
    top: int | None = None,
    all_probabilities: bool = False,
    maps: bool = False,
    overlays: str | Path | None = None,
    spreadsheet_safe: bool = False,
    crops: Crops | None = None,
    decode_options: DecodeOptions = AS_KERAS,
    resume: bool | None = None,
    resumable: bool = True,
    workers: int | None = None,
    concurrency: int | None = None,
    patience: float = 300.0,
    engine: EngineName = "local",
    ray_address: str | None = None,
    progress: Progress | None = None,
    report: Callable[[str], None] | None = None,
    **settings: Any,
) -> TableSummary:
    """Score images into a table, with one row each in the order of the inputs.

    Rows are recorded as they are finished, in a file beside the table with `.unfinished` after its name, which is
    removed when the table is complete. If the run is interrupted, by an exception, Ctrl-C or a signal that kills it, a
    run with `resume=True` and the same options takes over the recorded rows of images that have not changed, and
    scores the others. Rows with an error are tried again, and so are those of a version that no longer answers.

    Args:
        inputs: Files, folders, patterns, tar shards, tables and URLs; see `find_items`.
        output: The table; see `write_table`.
        model: Name of the model on the server.
        url: See `Classifier` (default: localhost:8001).
        bundle: Folder of a bundle, whose ONNX file classifies on this host instead, without a server.
        files_from: List of further inputs; see `find_items`.
        path_column: Column of input tables; see `find_items`.
        bytes_column: Column of input tables; see `find_items`.
        id_column: Column of input tables; see `find_items`.
        format: `table`, or `camera` for what `write_camera_submission` writes.
        top: Number of classes in each row (default: 5, or all if the model has fewer).
        all_probabilities: Whether the table has a column with the probability of each class.
        maps: Whether the table has the columns of the map of the best class; see `write_table`.
        overlays: Folder in which the map of each image is written over it, as a PNG file.
        spreadsheet_safe: See `write_table`.
        crops: Crops of each image to classify instead of the whole.
        decode_options: How images are decoded, and their limits.
        resume: True: go on with an interrupted run, if there is one. False: score all images again. None: refuse to
            choose if there is one.
        resumable: Whether a run that is interrupted reports how to go on; not if its table is temporary.
        workers: Number of worker processes; 0 for none (default: what the cores and the number of images allow).
        concurrency: Number of requests in progress at once (default: what the workers need).
        patience: Seconds to wait for a server that no longer replies, such as one that restarts; 0 to fail at once.
        engine: `local` for processes of this host, or `ray` for those of a Ray cluster.
        ray_address: Address of the cluster (default: Ray is started on this host, and ends with the run).
        progress: Takes the rows as they are finished and the number of images, and yields the rows. Their method
            `limited_by` returns what limits the run, such as `decoding` or `server`.
        report: Takes notes, such as which column of a table was found to contain the paths (default: they are logged).
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
        ClientError: If table, record or an overlay cannot be written, or another run writes the same table.
    """
    started = time.monotonic()
    check_engine(engine, ray_address)
    check_several(inputs)
    given = list(inputs)
    left_out = LeftOut()
    items = find_items(
        given,
        files_from=files_from,
        path_column=path_column,
        bytes_column=bytes_column,
        id_column=id_column,
        left_out=left_out,
        report=report,
    )
    items.check_exist()
    items.check_kept(output)
    target = Output(
        path=output,
        format=format,
        top=top,
        all_probabilities=all_probabilities,
        maps=maps,
        spreadsheet_safe=spreadsheet_safe,
    )
    options = RowOptions(
        top=target.ranks,
        crops=crops,
        all_probabilities=all_probabilities,
        maps=maps,
        overlay_folder=None if overlays is None else str(overlays),
        decode_options=decode_options,
    )
    if settings.get("send") == "files":
        _check_files(options, settings)
        (report or _log.info)(f"Image files are sent as they are: {printable(str(model))}_file decodes them")
    if overlays is not None:
        make_overlay_folder(overlays, given, output)
    answerer = answerer_options(model, url, bundle, settings)
    if bundle is not None:
        hosts = "this host" if ray_address is None else "the hosts of the Ray cluster"
        (report or _log.info)(f"{printable(bundle)} answers on the CPU of {hosts}, through {runtime_of(bundle)}")
    running: dict[str, Any] = {
        "workers": workers,
        "concurrency": concurrency,
        "patience": patience,
        "engine": engine,
        "ray_address": ray_address,
    }
    with Record(output, run_identity(model, options, settings), resume=resume) as record:
        left_out.ignore(record.path)
        summary = _Run(items, target, answerer, options, running, progress, resumable).finish(record)
        record.finish()
    return replace(summary, seconds=time.monotonic() - started, left_out=left_out)


def _check_files(options: RowOptions, settings: Mapping[str, Any]) -> None:
    """Check that a server which decodes image files can answer for the rows."""
    check_sent("files", options.decode_options, pinned=bool(settings.get("pin_version") or settings.get("version")))
    if options.needs_maps or options.crops is not None:
        raise UsageError(
            "send='files' gets classes, without maps and crops",
            hint="Leave out maps, overlays and crops, or send (--send)",
        )


@dataclass(frozen=True)
class _Run:
    """A run whose options were checked.

    Attributes:
        items: The images.
        target: What is written.
        answerer: What classifies the images.
        options: What rows contain.
        engine: Further arguments of `open_engine`.
        progress: Takes the rows as they are finished, and their number.
        resumable: Whether an interruption is reported.
    """

    items: Items
    target: Output
    answerer: AnswererOptions
    options: RowOptions
    engine: Mapping[str, Any]
    progress: Progress | None
    resumable: bool

    def finish(self, record: Record) -> TableSummary:
        """Score the images whose rows are not recorded, and write the table."""
        table = Path(os.path.realpath(self.target.path))
        remove_leftovers(table)
        # Counted rather than listed, so that a million paths need not be in memory.
        total = self.target.count(self.items)
        if self.options.overlay_folder is not None:
            check_distinct(self.items)
        replaced = table.exists()
        with (
            _interruptions_reported(record, total) if self.resumable else nullcontext(),
            open_engine(self.answerer, self.options, total=total, **self.engine) as engine,
        ):
            recorded = RecordedRows(record, engine.model)
            with closing(engine.rows(recorded.items(self.items))) as scored:
                rows = RowsInProgress(recorded.rows(scored), engine.limited_by)
                shown = rows if self.progress is None else self.progress(rows, total)
                summary = self.target.write(shown, [label.name for label in engine.model.labels])
        _report_other_versions(recorded.other_versions, engine.model.version)
        return replace(summary, kept=recorded.kept, replaced=replaced)


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
                record.name,
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
