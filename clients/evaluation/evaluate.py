"""Evaluate the answers of a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from camserve.choices import Match
from camserve.clients.evaluation.answers import Answers, read_answers
from camserve.clients.evaluation.judging import (
    check_arguments,
    check_some,
    numbered,
    places_of,
    skipped,
    unknown_labels,
)
from camserve.clients.evaluation.metrics import calibration, class_metrics, confusion_cells, top_accuracies
from camserve.clients.evaluation.results import Evaluation, Mistake
from camserve.clients.evaluation.truth import FOLDER, read_truth
from camserve.text import printable

__all__ = ["evaluate"]


def evaluate(
    table: str | Path,
    *,
    truth: str | Path = FOLDER,
    truth_column: str | None = None,
    match: Match = "label",
    mistakes: int = 10,
) -> Evaluation:
    """Evaluate the answers of a table that `camserve score` or `write_table` wrote.

    Rows with an error and rows without a true label are not part of any metric, but counted. A true label that is in no
    row of the table counts as wrong, and is listed in `Evaluation.unknown`.

    Args:
        table: A .csv, .jsonl or .parquet file, or a folder of Parquet files, with the columns path, label_1,
            probability_1 and, for further ranks, label_2 and so on; rows with an error have it in the column error.
        truth: Where true labels come from: `"folder"`, the name of the folder that an image is in; or a CSV file with
            the columns path and label. Its paths are those of the table, or their ends: `cat/1.jpg` matches
            `photos/cat/1.jpg`.
        truth_column: Column of the table with the true labels, instead of `truth`.
        match: Whether true labels are labels, or numbers of classes (the columns class_1 and so on).
        mistakes: Number of mistakes to return.

    Raises:
        UsageError: If a file cannot be read, a row is incomplete, no row has both an answer and a true label, or no
            true label is in the table.
    """
    check_arguments(truth, truth_column, match, mistakes=mistakes)
    answers = read_answers(Path(table), match=match, column=truth_column)
    labels = read_truth(answers, truth)
    failed = answers.failed
    rows = [row for row, label in enumerate(labels) if label is not None and not failed[row]]
    true_labels = [label for row in rows if (label := labels[row]) is not None]
    check_some(true_labels, int(failed.sum()), answers.paths, printable(table))
    unknown = unknown_labels(true_labels, answers, match)
    places = numbered([*answers.names, *true_labels])
    names, true_places = tuple(places), places_of(true_labels, places)
    best, hits = answers.ranks[rows, 0], answers.ranks[rows] == true_places[:, np.newaxis]
    return Evaluation(
        table=str(table),
        rows=len(labels),
        images=len(rows),
        errors=skipped(path for path, error in zip(answers.paths, failed, strict=True) if error),
        unmatched=skipped(answers.paths[row] for row, label in enumerate(labels) if label is None and not failed[row]),
        repeated=len(labels) - len(set(answers.paths)),
        top=top_accuracies(hits),
        classes=class_metrics(true_places, best, names),
        confusion=confusion_cells(true_places, best, names),
        calibration=calibration(answers.probabilities[rows], hits[:, 0]),
        mistakes=_mistakes(answers, np.array(rows), true_labels, hits, mistakes),
        unknown=unknown,
        shared=answers.shared,
        truths=tuple(labels),
        answers=answers,
        versions=answers.versions,
    )


def _mistakes(
    answers: Answers, rows: npt.NDArray[np.int64], labels: list[str], hits: npt.NDArray[np.bool_], most: int
) -> tuple[Mistake, ...]:
    """Return the wrong answers with the highest probability, equal ones in the order of the table."""
    wrong = np.flatnonzero(~hits[:, 0])
    order = wrong[np.argsort(-answers.probabilities[rows[wrong]], kind="stable")][:most]
    return tuple(
        Mistake(
            path=answers.paths[rows[place]],
            truth=labels[place],
            predicted=answers.names[answers.ranks[rows[place], 0]],
            probability=float(answers.probabilities[rows[place]]),
            rank=int(hits[place].argmax()) + 1 if hits[place].any() else None,
        )
        for place in order
    )
