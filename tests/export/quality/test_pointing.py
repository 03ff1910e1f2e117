"""The pointing game with points and boxes whose distance is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import pointing as of_masks

from camserve.export.quality.pointing import chance, is_hit

SIZE = (224, 224)


def map_of(row: int, column: int) -> Any:
    grid = np.zeros((7, 7))
    grid[row, column] = 2.0
    return grid


@pytest.mark.parametrize(
    ("box", "hit"),
    [
        ((40, 70, 60, 90), True),  # around the center of row 2 and column 1: x 48, y 80
        ((63, 70, 90, 90), True),  # 15 pixels to the right
        ((63.1, 70, 90, 90), False),
        ((57, 92, 90, 120), True),  # 9 to the right and 12 below: 15 away
        ((58, 92, 90, 120), False),
    ],
)
def test_maximum_within_15_pixels_of_a_box_is_a_hit(box: tuple[float, ...], hit: bool) -> None:
    far = (200.0, 200.0, 210.0, 210.0)
    assert is_hit(map_of(2, 1), np.array([far, box]), SIZE) == hit


def test_one_of_several_objects_is_enough() -> None:
    boxes = np.array([(0.0, 0.0, 10.0, 10.0), (200.0, 200.0, 224.0, 224.0)])
    assert is_hit(map_of(0, 0), boxes, SIZE)
    assert is_hit(map_of(6, 6), boxes, SIZE)
    assert not is_hit(map_of(0, 6), boxes, SIZE)


def test_chance_is_the_share_of_cells_that_would_hit() -> None:
    assert chance((7, 7), np.array([(0.0, 0.0, 224.0, 224.0)]), SIZE) == 1
    assert chance((7, 7), np.array([(0.0, 0.0, 224.0, 30.0)]), SIZE) == pytest.approx(1 / 7)  # the next row is at 48


def test_hits_equal_those_of_masks() -> None:
    random = np.random.default_rng(0)
    masks = np.zeros((40, 64, 64), bool)
    for mask in masks:
        top, left = random.integers(0, 40, 2)
        mask[top : top + 20, left : left + 12] = True
    maps = random.uniform(size=(40, 4, 4))
    corners = [np.argwhere(mask)[[0, -1], ::-1].reshape(1, 4) + 0.5 for mask in masks]  # masks count from centers
    assert [is_hit(*pair, (64, 64)) for pair in zip(maps, corners, strict=True)] == of_masks.hits(maps, masks).tolist()
    found = np.mean([chance((4, 4), each, (64, 64)) for each in corners])
    assert found == pytest.approx(of_masks.chance_level((4, 4), masks))
