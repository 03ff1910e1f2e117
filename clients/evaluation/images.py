"""Score images and evaluate the answers, without a table that remains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from camserve.choices import Match
from camserve.clients.evaluation.evaluate import evaluate
from camserve.clients.evaluation.judging import check_arguments
from camserve.clients.evaluation.results import Evaluation
from camserve.clients.evaluation.truth import FOLDER, check_truth
from camserve.clients.scoring.inputs import check_several
from camserve.clients.table_run import score_table
from camserve.clients.tables.table_file import TableSummary
from camserve.errors import CamserveError
from camserve.text import count, printable

__all__ = ["evaluate_images", "name_of", "scored_images"]


def evaluate_images(
    inputs: Iterable[str | Path],
    *,
    output: str | Path | None = None,
    truth: str | Path = FOLDER,
    match: Match = "label",
    mistakes: int = 10,
    **scoring: Any,
) -> Evaluation:
    """Score images with a served model or a bundle, and evaluate the answers, as `evaluate` does for a table.

    Args:
        inputs: Images; see `score_table`.
        output: A table to write as well (default: none).
        truth: As for `evaluate`.
        match: As for `evaluate`.
        mistakes: As for `evaluate`.
        scoring: Further arguments of `score_table`: `model` or `bundle`, `url`, `top`, `crops`, `decode_options` and so
            on.

    Returns:
        The evaluation; its `table` is `output`, or what the inputs are called.

    Raises:
        UsageError: As for `score_table` and `evaluate`.
        CamserveError: As for `score_table`.
    """
    check_arguments(truth, None, match, mistakes=mistakes)
    check_truth(truth)
    check_several(inputs)
    given = list(inputs)
    with scored_images(given, output, **scoring) as (table, _):
        evaluation = evaluate(table, truth=truth, match=match, mistakes=mistakes)
    return evaluation if output is not None else replace(evaluation, table=name_of(given))


@contextmanager
def scored_images(
    inputs: Iterable[str | Path], output: str | Path | None = None, **scoring: Any
) -> Iterator[tuple[Path, TableSummary]]:
    """Score images, and yield the table and what it contains; without `output`, it exists within the block only.

    Errors raised in the block name the inputs instead of a table that will not exist.

    Raises:
        CamserveError: As `score_table`.
    """
    given = list(inputs)
    if output is not None:
        yield Path(output), score_table(given, output, **scoring)
        return
    with TemporaryDirectory(prefix="camserve-") as folder:
        table = Path(folder) / "answers.csv"
        summary = score_table(given, table, resumable=False, **scoring)
        try:
            yield table, summary
        except CamserveError as error:
            error.message = error.message.replace(printable(table), name_of(given))
            raise


def name_of(inputs: Iterable[str | Path]) -> str:
    """Return what messages call inputs: the first, and how many more there are."""
    first, *others = [printable(each) for each in inputs] or ["the images"]
    return f"{first} and {count(len(others), 'other input')}" if others else first
