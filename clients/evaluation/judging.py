"""Which rows have a true label, and which of these labels the tables know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from camserve.argument_checks import check_type, check_whole
from camserve.choices import MATCHES, Match
from camserve.clients.evaluation.answers import Answers
from camserve.clients.evaluation.metrics import Places
from camserve.clients.evaluation.results import SkippedRows
from camserve.clients.evaluation.truth import FOLDER
from camserve.errors import UsageError
from camserve.text import listed, printable

__all__ = ["check_arguments", "check_some", "numbered", "places_of", "skipped", "unknown_labels"]

_FIRST = 5
"""The most paths that a result contains of rows that it leaves out."""
_LISTED = 5
_OTHER_TRUTH = "Pass the true labels: --truth FILE with the columns path and label, or --truth-column NAME"


def check_arguments(truth: str | Path, truth_column: str | None, match: Match, **numbers: int) -> None:
    """Check the arguments of `evaluate` and `compare_tables`.

    Raises:
        UsageError: If one is invalid, or two conflict.
    """
    check_type("truth", truth, (str, Path), "a path, or 'folder'")
    if match not in MATCHES:
        raise UsageError(f"match must be label or class, got {match!r}", hint="Choose one of: label, class")
    if truth_column is not None and truth != FOLDER:
        raise UsageError("truth and truth_column exclude each other", hint="Pass --truth or --truth-column, not both")
    for name, number in numbers.items():
        check_whole(name, number)
        if number < 0:
            raise UsageError(f"{name} must be at least 0, got {number}", hint="Pass 0 for none")


def skipped(paths: Iterable[str]) -> SkippedRows:
    """Return the number of these paths, and the first."""
    listed_paths = list(paths)
    return SkippedRows(len(listed_paths), tuple(islice(listed_paths, _FIRST)))


def numbered(names: Iterable[str]) -> dict[str, int]:
    """Return the place of each name in a list without repetitions."""
    return {name: place for place, name in enumerate(dict.fromkeys(names))}


def places_of(labels: Sequence[str], places: Mapping[str, int]) -> Places:
    """Return the place of each label, `[labels]`."""
    return np.array([places[label] for label in labels], np.int32)


def unknown_labels(labels: Iterable[str], answers: Answers, match: Match) -> tuple[tuple[str, int], ...]:
    """Return the true labels that a table does not contain, with their number of images, the most frequent first.

    Args:
        labels: The true label of each image.
        answers: The table.
        match: As for `read_answers`.

    Raises:
        UsageError: If it contains none.
    """
    counts, known = Counter(labels), set(answers.names)
    unknown = tuple((label, images) for label, images in counts.most_common() if label not in known)
    if len(unknown) == len(counts):
        raise UsageError(
            f"none of the true labels {listed(sorted(counts), _LISTED)} is a {match} of {printable(answers.table)}, "
            f"which contains {listed(sorted(known), _LISTED)}",
            hint=_other_match(counts, match) or _OTHER_TRUTH,
        )
    return unknown


def _other_match(labels: Iterable[str], match: Match) -> str | None:
    """Return the hint for true labels that look like the other kind."""
    numbers = all(label.isdecimal() for label in labels)
    if numbers == (match == "class"):
        return None
    return (
        "Compare them with the numbers of the classes: --match class" if numbers else "Use --match label, the default"
    )


def check_some(labels: Sequence[str], failed: int, rows: Sequence[str], table: str) -> None:
    """Check that some rows can be evaluated.

    Args:
        labels: The true labels of the rows with an answer.
        failed: Number of rows with an error.
        rows: The paths of all rows.
        table: What messages call the table.

    Raises:
        UsageError: If no row can.
    """
    if failed == len(rows):
        raise UsageError(f"all rows of {table} contain an error", hint="Read the errors, and score the images again")
    if not labels:
        raise UsageError(f"no row of {table} has a true label, such as {printable(rows[0])}", hint=_OTHER_TRUTH)
