"""The answers that `camserve evaluate` evaluates: a table, or images that are scored first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from camserve.cli.answerer_options import answerer_arguments, given_options
from camserve.cli.console import print_logged_warnings, print_note
from camserve.cli.help_layout import check_local
from camserve.cli.image_sources import print_left_out
from camserve.cli.live_server_options import PANEL
from camserve.cli.score_report import summary_line, warn_access
from camserve.cli.scoring_progress import track_rows, track_with_errors
from camserve.errors import UsageError
from camserve.text import printable

__all__ = ["answers_of", "scoring_arguments"]

_OF_SCORING = (
    "output",
    "top",
    "maps",
    "resume",
    "patience",
    "workers",
    "concurrency",
    "fast_jpeg",
    "crops",
)
"""Parameters that matter only where images are scored, besides those of the connection to a server."""


def scoring_arguments(
    context: typer.Context, inputs: Sequence[str], answerer: Mapping[str, Any], **arguments: Any
) -> dict[str, Any] | None:
    """Return the arguments of `score_table` for images; None for a table, without --model and --bundle.

    Args:
        context: The command line.
        inputs: The table, or the images.
        answerer: Arguments of `answerer_arguments`.
        arguments: Further arguments of `score_table`.

    Raises:
        UsageError: If options do not apply to images, or to a table.
    """
    if answerer["model"] is None and answerer["bundle"] is None:
        _check_table(context, inputs)
        return None
    if context.params["truth_column"] is not None:
        raise UsageError(
            "--truth-column names a column of a table, and images have none",
            hint="Pass the true labels: --truth FILE with the columns path and label",
        )
    if arguments["resume"] is not None and context.params["output"] is None:
        raise UsageError(
            f"{'--resume' if arguments['resume'] else '--no-resume'} has no effect without a table that remains",
            hint="Add --output FILE",
        )
    found = answerer_arguments(context, **answerer)
    _check_files(context.params["truth"], context.params["against"])
    return {**found, **arguments}


def _check_files(truth: str, against: Path | None) -> None:
    """Check the files that are read when the images have been scored."""
    from camserve.clients.evaluation.table_rows import read_rows
    from camserve.clients.evaluation.truth import check_truth

    check_truth(truth)
    if against is None:
        return
    if not against.exists():
        raise UsageError(f"{printable(against)} does not exist", hint="Pass a table to --against")
    next(read_rows(against, ("path",)), None)


def _check_table(context: typer.Context, inputs: Sequence[str]) -> None:
    """Check a command line for a table: there is one, and no option that concerns the scoring of images."""
    for option in given_options(context, panels=(PANEL,), names=_OF_SCORING):
        raise UsageError(
            f"{option} concerns the scoring of images, and a table contains answers",
            hint=f"Leave out {option}, or pass --model NAME or --bundle DIR to score images first",
        )
    if len(inputs) > 1:
        raise UsageError(
            f"{len(inputs):,} tables were given, and one is evaluated",
            hint="Compare two tables: camserve evaluate TABLE --against TABLE; for images, pass --model NAME or "
            "--bundle DIR",
        )
    check_local(inputs[0], "TABLE")
    table = Path(inputs[0])
    if table.is_dir() and not next(table.glob("*.parquet"), None):
        raise UsageError(
            f"folder {printable(table)} contains no table",
            hint="Add --model NAME or --bundle DIR to score the images in it first",
        )


@contextmanager
def answers_of(
    inputs: Sequence[str], output: str | None, scoring: Mapping[str, Any] | None
) -> Iterator[tuple[Path, str]]:
    """Yield the table with the answers, which may exist within the block only, and what to call it.

    Args:
        inputs: The table, or images to score.
        output: A table to write the answers of images into.
        scoring: Arguments of `score_table`; None for a table.

    Raises:
        CamserveError: If images cannot be scored.
    """
    if scoring is None:
        yield Path(inputs[0]), inputs[0]
        return
    from camserve.clients.evaluation.images import name_of, scored_images

    print_logged_warnings("camserve.clients")
    progress = track_with_errors if output is None else track_rows
    with scored_images(inputs, output, progress=progress, report=print_note, **scoring) as (table, summary):
        name = name_of(inputs) if output is None else output
        print_note(summary_line(summary, name))
        warn_access(summary, name)
        if summary.left_out is not None:
            print_left_out(summary.left_out)
        yield table, name
