"""Which part of a map stands out: the largest that hangs together."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["largest_region"]

Array = np.ndarray[Any, Any]
Run = tuple[int, int, int]
"""Neighbours in a row that are all marked: row, first column, column after the last."""


def largest_region(mask: Array) -> tuple[int, int, int, int] | None:
    """The box around the largest connected part of what is marked: left, top, right, bottom, the last two exclusive.

    Cells are connected by their sides, as in `scipy.ndimage.label`; of parts that are equally large the first counts,
    line by line.

    Args:
        mask: bool `[rows, columns]`.

    Returns:
        The box, or None if nothing is marked.
    """
    parts = _parts([_runs(row, number) for number, row in enumerate(mask)])
    if not parts:
        return None
    largest = max(parts, key=_area)
    return (
        min(start for _, start, _ in largest),
        min(row for row, _, _ in largest),
        max(stop for _, _, stop in largest),
        max(row for row, _, _ in largest) + 1,
    )


def _area(part: list[Run]) -> int:
    return sum(stop - start for _, start, stop in part)


def _runs(row: Array, number: int) -> list[Run]:
    edges = np.flatnonzero(np.diff(row.astype(np.int8), prepend=0, append=0)).tolist()
    return [(number, start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _parts(rows: list[list[Run]]) -> list[list[Run]]:
    """The runs that touch each other, together; each part stands where its first run would."""
    parent = {run: run for row in rows for run in row}

    def root(run: Run) -> Run:
        while parent[run] != run:
            parent[run] = run = parent[parent[run]]
        return run

    for above, below in pairwise(rows):
        for first, second in _touching(above, below):
            low, high = sorted((root(first), root(second)))
            parent[high] = low
    parts: dict[Run, list[Run]] = {}
    for run in parent:
        parts.setdefault(root(run), []).append(run)
    return list(parts.values())


def _touching(above: list[Run], below: list[Run]) -> list[tuple[Run, Run]]:
    return [(one, other) for one in above for other in below if one[1] < other[2] and other[1] < one[2]]
