"""Which rows of a table are shown with their image, if they are too many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import chain, islice, zip_longest

import numpy as np

from camserve.clients.evaluation.results import Evaluation

__all__ = ["choose_rows"]


def choose_rows(evaluation: Evaluation, most: int) -> list[int]:
    """Return the rows to show, in the order of the table; the same ones each time.

    If there are more than `most`, half are the worst mistakes, a tenth rows without an answer or a true label, and the
    others correct answers: as many of each true class as possible, in an order that depends on their paths only. What
    one of these groups does not use goes to the mistakes, the correct answers and the others, in this order.
    """
    rows = len(evaluation.truths)
    if rows <= most:
        return list(range(rows))
    mistakes, correct, others = _groups(evaluation)
    shares = (most // 2, most - most // 2 - most // 10, most // 10)
    groups = (mistakes, list(_by_turns(evaluation, correct)), others)
    first = chain.from_iterable(group[:share] for group, share in zip(groups, shares, strict=True))
    rest = chain.from_iterable(group[share:] for group, share in zip(groups, shares, strict=True))
    return sorted(islice(chain(first, rest), most))


def _groups(evaluation: Evaluation) -> tuple[list[int], list[int], list[int]]:
    """Return the mistakes, the worst first, the correct answers, and the rows that are not evaluated."""
    answers = evaluation.answers
    mistakes: list[int] = []
    correct: list[int] = []
    others: list[int] = []
    for row, (truth, failed) in enumerate(zip(evaluation.truths, answers.failed, strict=True)):
        if failed or truth is None:
            others.append(row)
        else:
            (correct if answers.names[answers.ranks[row, 0]] == truth else mistakes).append(row)
    order = np.argsort(-answers.probabilities[mistakes], kind="stable")
    return [mistakes[place] for place in order], correct, others


def _by_turns(evaluation: Evaluation, rows: Sequence[int]) -> Iterator[int]:
    """Yield one row of each true class, then another one of each, and so on."""
    classes: dict[str | None, list[int]] = {}
    for row in _shuffled(evaluation, rows):
        classes.setdefault(evaluation.truths[row], []).append(row)
    for turn in zip_longest(*(classes[name] for name in sorted(classes, key=str))):
        yield from (row for row in turn if row is not None)


def _shuffled(evaluation: Evaluation, rows: Iterable[int]) -> list[int]:
    """Return the rows in the order of the checksums of their paths, which is the same each time."""
    paths = evaluation.answers.paths
    return sorted(rows, key=lambda row: sha256(paths[row].encode("utf-8", "surrogateescape")).digest())
