"""The largest connected region of a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from camserve.clients.answers.region import largest_region


def mask_of(*rows: str) -> np.ndarray[Any, Any]:
    return np.array([[char == "#" for char in row] for row in rows])


@pytest.mark.parametrize(
    ("mask", "box"),
    [
        (mask_of("....", "...."), None),
        (mask_of("####", "####"), (0, 0, 4, 2)),
        (mask_of("#...", "..##"), (2, 1, 4, 2)),
        (mask_of("#..#", "#..#"), (0, 0, 1, 2)),  # of equal areas, the first
        (mask_of("#.#.", "#.#.", "###."), (0, 0, 3, 3)),  # connected by the last row only
        (mask_of("##..", "..##"), (0, 0, 2, 1)),  # a corner is not a connection
    ],
)
def test_the_box_encloses_the_largest_region(mask: np.ndarray[Any, Any], box: tuple[int, ...] | None) -> None:
    assert largest_region(mask) == box


def test_regions_equal_those_of_scipy() -> None:
    from scipy import ndimage

    random = np.random.default_rng(0)
    for _ in range(200):
        mask = random.random(random.integers(1, 20, 2)) > random.random()
        labels, count = ndimage.label(mask)
        sizes = ndimage.sum_labels(np.ones_like(labels), labels, range(1, count + 1))
        expected = None
        if count:
            rows, columns = ndimage.find_objects(labels)[int(np.argmax(sizes))]
            expected = (columns.start, rows.start, columns.stop, rows.stop)
        assert largest_region(mask) == expected
