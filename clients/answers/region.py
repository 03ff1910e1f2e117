"""Find the largest connected region of a mask."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["largest_region"]

Array = np.ndarray[Any, Any]
Run = tuple[int, int, int]
"""Consecutive true values in a row: row, first column, column after the last."""


def largest_region(mask: Array) -> tuple[int, int, int, int] | None:
    """Return the bounding box of the largest connected region of a mask.

    Cells are connected by their sides, as in `scipy.ndimage.label`. Of regions with equal areas, the first in reading
    order is chosen.

    Args:
        mask: bool `[rows, columns]`.

    Returns:
        Left, top, right and bottom, with right and bottom exclusive, or None if no value is true.
    """
    regions = _regions([_runs(row, number) for number, row in enumerate(mask)])
    if not regions:
        return None
    largest = max(regions, key=_area)
    return (
        min(start for _, start, _ in largest),
        min(row for row, _, _ in largest),
        max(stop for _, _, stop in largest),
        max(row for row, _, _ in largest) + 1,
    )


def _area(region: list[Run]) -> int:
    return sum(stop - start for _, start, stop in region)


def _runs(row: Array, number: int) -> list[Run]:
    edges = np.flatnonzero(np.diff(row.astype(np.int8), prepend=0, append=0)).tolist()
    return [(number, start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _regions(rows: list[list[Run]]) -> list[list[Run]]:
    """Group runs that touch each other (union-find), in the order of the first run of each group."""
    parent = {run: run for row in rows for run in row}

    def root(run: Run) -> Run:
        while parent[run] != run:
            parent[run] = run = parent[parent[run]]
        return run

    for above, below in pairwise(rows):
        for first, second in _touching(above, below):
            low, high = sorted((root(first), root(second)))
            parent[high] = low
    regions: dict[Run, list[Run]] = {}
    for run in parent:
        regions.setdefault(root(run), []).append(run)
    return list(regions.values())


def _touching(above: list[Run], below: list[Run]) -> list[tuple[Run, Run]]:
    return [(one, other) for one in above for other in below if one[1] < other[2] and other[1] < one[2]]
