"""What is drawn to train on, and the pointing game that is played with it."""

from __future__ import annotations

import numpy as np
from support import pointing
from support.shapes import SHAPES, SIDE, draw


def test_a_seed_gives_the_same_images() -> None:
    first, again, other = draw(12, 3), draw(12, 3), draw(12, 4)
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.masks, again.masks)
    assert not np.array_equal(first.images, other.images)


def test_every_shape_is_drawn_equally_often_and_whole() -> None:
    drawn = draw(120, 0)
    assert np.bincount(drawn.classes).tolist() == [20] * len(SHAPES)
    edge = np.ones((SIDE, SIDE), bool)
    edge[1:-1, 1:-1] = False
    assert (drawn.masks.sum(axis=(1, 2)) > 100).all()
    assert not (drawn.masks & edge).any()


def test_a_mask_covers_what_is_brighter() -> None:
    drawn = draw(120, 1)
    gray = drawn.images.mean(axis=3)
    for image, mask in zip(gray, drawn.masks, strict=True):
        assert image[mask].mean() > image[~mask].mean() + 30


def test_a_map_of_the_mask_hits_and_one_of_the_rest_misses() -> None:
    masks = draw(60, 2).masks
    fine = masks.astype(float)
    assert pointing.hits(fine, masks).all()
    assert not pointing.hits(1 - fine, masks).any()  # the first of many greatest cells is a corner


def test_the_point_is_the_middle_of_the_greatest_cell() -> None:
    masks = np.zeros((2, 64, 64), bool)
    masks[:, 48, 16] = True  # the middle of the lower left of four cells
    grids = np.array([[[0, 0], [1, 0]], [[0, 1], [0, 0]]])
    assert pointing.hits(grids, masks).tolist() == [True, False]


def test_a_point_within_the_tolerance_hits() -> None:
    masks = np.zeros((2, 224, 224), bool)
    masks[0, 112, 112 + 14] = masks[1, 112, 112 + 15] = True
    assert pointing.hits(np.ones((2, 1, 1)), masks).tolist() == [True, False]


def test_chance_is_the_mean_over_the_cells() -> None:
    masks = np.zeros((1, 64, 64), bool)
    masks[0, 16, 16] = True
    assert pointing.chance_level((2, 2), masks) == 0.25
