"""Compare the answers of two tables: which images changed, and whether one table is better."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camserve.choices import Match
from camserve.clients.evaluation.answers import Answers, read_answers
from camserve.clients.evaluation.comparison import ChangedAnswer, Comparison
from camserve.clients.evaluation.judging import check_arguments, check_some, skipped, unknown_labels
from camserve.clients.evaluation.metrics import sign_test
from camserve.clients.evaluation.truth import FOLDER, read_truth
from camserve.errors import UsageError
from camserve.text import printable

__all__ = ["compare_tables"]

_Key = tuple[str, int]
"""A path, and how often it was in earlier rows."""


def compare_tables(
    table: str | Path,
    against: str | Path,
    *,
    truth: str | Path = FOLDER,
    truth_column: str | None = None,
    match: Match = "label",
    changes: int = 10,
) -> Comparison:
    """Compare two tables of the same images, such as those of two versions, or of fp32 and int8.

    Rows are matched by path; of a path in several rows, the first is matched with the first, and so on. Rows that are
    in one table only, that have an error, or that have no true label are not compared, but counted.

    Args:
        table: The first table; as for `evaluate`.
        against: The second table.
        truth: As for `evaluate`.
        truth_column: Column of the first table with the true labels, instead of `truth`.
        match: As for `evaluate`.
        changes: Number of changed answers to return.

    Raises:
        UsageError: As for `evaluate`, or if no path is in both tables.
    """
    check_arguments(truth, truth_column, match, changes=changes)
    first = read_answers(Path(table), match=match, column=truth_column)
    second = read_answers(Path(against), match=match)
    labels = read_truth(first, truth)
    here, there = _keys(first.paths), _keys(second.paths)
    shared = [(row, there[key]) for key, row in here.items() if key in there]
    if not shared:
        raise UsageError(
            f"no path of {printable(table)} is in {printable(against)}: "
            f"{printable(first.paths[0])}, and {printable(second.paths[0])}",
            hint="Score the same files with the same paths for both tables",
        )
    failed_here, failed_there = first.failed, second.failed
    failed = [(row, other) for row, other in shared if failed_here[row] or failed_there[other]]
    answered = sorted(set(shared) - set(failed))
    images = [_Image(label, row, other) for row, other in answered if (label := labels[row]) is not None]
    true_labels = [image.truth for image in images]
    check_some(
        true_labels,
        len(failed),
        [first.paths[row] for row, _ in shared],
        f"both {printable(table)} and {printable(against)}",
    )
    unknown = dict(each for answers in (first, second) for each in unknown_labels(true_labels, answers, match))
    answers = [_answer(image, first, second) for image in images]
    return Comparison(
        table=str(table),
        against=str(against),
        **_counts(answers),
        changes=_changes(answers)[:changes],
        missing_in_table=skipped(second.paths[row] for key, row in there.items() if key not in here),
        missing_in_against=skipped(first.paths[row] for key, row in here.items() if key not in there),
        errors=skipped(first.paths[row] for row, _ in failed),
        unmatched=skipped(first.paths[row] for row, _ in answered if labels[row] is None),
        unknown=tuple(unknown.items()),
        versions=first.versions,
        versions_against=second.versions,
    )


@dataclass(frozen=True)
class _Image:
    """An image in both tables: its true label, and its row in each."""

    truth: str
    row: int
    other: int


def _answer(image: _Image, first: Answers, second: Answers) -> ChangedAnswer:
    before, after = first.ranks[image.row, 0], second.ranks[image.other, 0]
    return ChangedAnswer(first.paths[image.row], image.truth, first.names[before], second.names[after])


def _counts(answers: Sequence[ChangedAnswer]) -> dict[str, Any]:
    counts = Counter((each.before == each.truth, each.after == each.truth) for each in answers)
    return {
        "both_correct": counts[True, True],
        "only_table": counts[True, False],
        "only_against": counts[False, True],
        "both_wrong": counts[False, False],
        "changed": sum(each.before != each.after for each in answers),
        "p_value": sign_test(counts[True, False], counts[False, True]),
    }


def _changes(answers: Sequence[ChangedAnswer]) -> tuple[ChangedAnswer, ...]:
    """Return the answers that differ, those that are correct in one table first."""
    changed = (each for each in answers if each.before != each.after)
    return tuple(sorted(changed, key=lambda each: each.truth not in (each.before, each.after)))


def _keys(paths: Sequence[str]) -> dict[_Key, int]:
    """Return the row of each path."""
    times: Counter[str] = Counter()
    keys: dict[_Key, int] = {}
    for row, path in enumerate(paths):
        normal = os.path.normpath(path)
        keys[normal, times[normal]] = row
        times[normal] += 1
    return keys
