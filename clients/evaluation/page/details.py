"""What the page shows of a row besides its image: the most probable classes, the error, the map."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from camserve.clients.evaluation.answers import class_name, row_path
from camserve.clients.evaluation.page.map_columns import PageMap, read_map
from camserve.clients.evaluation.results import Evaluation
from camserve.clients.evaluation.table_rows import read_rows
from camserve.errors import UsageError
from camserve.text import printable

__all__ = ["MOST_CLASSES", "RowDetails", "read_details"]

MOST_CLASSES = 5
"""The most classes of a row that the page shows."""


@dataclass(frozen=True, eq=False)
class RowDetails:
    """A row of the table.

    Attributes:
        path: The image.
        truth: The true label; None without one.
        best: Label and probability of the most probable classes, the best first; none in case of an error.
        error: The error; None without one.
        map: The map of the best class; None without one.
    """

    path: str
    truth: str | None
    best: tuple[tuple[str, float], ...]
    error: str | None
    map: PageMap | None


def read_details(evaluation: Evaluation, rows: Collection[int]) -> list[RowDetails]:
    """Read these rows of the table again, in its order.

    Raises:
        UsageError: If the table cannot be read, was temporary, or is no longer the one that was evaluated.
    """
    table = Path(evaluation.answers.table)
    if table != Path(evaluation.table) and not table.exists():
        raise UsageError(
            f"the table with the answers for {printable(evaluation.table)} was temporary",
            hint="Name a table to keep: evaluate_images(inputs, output=TABLE)",
        )
    chosen, details = set(rows), []
    paths = evaluation.answers.paths
    for row, (place, cells) in enumerate(read_rows(table, ("path",))):
        if row >= len(paths) or row_path(place, cells) != paths[row]:
            raise _changed(evaluation)
        if row in chosen:
            details.append(_details(evaluation, row, place, cells))
    if len(details) != len(chosen):
        raise _changed(evaluation)
    return details


def _details(evaluation: Evaluation, row: int, place: str, cells: Mapping[str, Any]) -> RowDetails:
    failed = bool(evaluation.answers.failed[row])
    return RowDetails(
        path=evaluation.answers.paths[row],
        truth=evaluation.truths[row],
        best=() if failed else tuple(_best(cells, evaluation.answers.match)),
        error=str(cells["error"]) if failed else None,
        map=None if failed else read_map(place, cells),
    )


def _best(cells: Mapping[str, Any], match: str) -> Iterator[tuple[str, float]]:
    for rank in count(1):
        name = class_name(cells.get(f"{match}_{rank}"))
        if name is None or rank > MOST_CLASSES:
            return
        yield name, _number(cells.get(f"probability_{rank}"))


def _number(cell: object) -> float:
    """Return a probability; NaN for a cell that is empty or no number."""
    try:
        return float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def _changed(evaluation: Evaluation) -> UsageError:
    return UsageError(
        f"{printable(evaluation.table)} was changed since it was evaluated", hint="Evaluate it again: evaluate(table)"
    )
