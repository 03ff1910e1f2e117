"""Deletion and insertion curves have the exact values of a classifier that reads one pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from camserve.export.quality import curves

IMAGE = np.full((4, 4, 1), 200, np.uint8)
FILL = np.zeros_like(IMAGE)
STEPS = 8  # of two pixels each


def reads_pixel(row: int, column: int) -> curves.Score:
    return lambda images: (images[:, row, column, 0] == 200).astype(np.float64)


def map_of(row: int, column: int) -> Any:
    grid = np.zeros((4, 4))
    grid[row, column] = 1.0
    return grid


def areas(grid: Any, score: curves.Score) -> tuple[float, float]:
    order = curves.removal_order(grid, (4, 4))
    masks = np.stack([curves.deletion_masks(order, STEPS), curves.insertion_masks(order, STEPS)])
    deletion, insertion = curves.area(curves.score_masks(IMAGE, FILL, masks, score))
    return float(deletion), float(insertion)


def test_map_of_the_pixel_that_counts_has_the_best_areas() -> None:
    # The score falls to 0, or rises to 1, in the first of the steps.
    assert areas(map_of(2, 1), reads_pixel(2, 1)) == pytest.approx((0.5 / STEPS, 1 - 0.5 / STEPS))


def test_map_that_ranks_the_pixel_last_has_the_worst_areas() -> None:
    assert areas(-map_of(2, 1), reads_pixel(2, 1)) == pytest.approx((1 - 0.5 / STEPS, 0.5 / STEPS))


def test_curve_of_a_linear_classifier_is_the_sum_of_the_remaining_pixels() -> None:
    weights = np.arange(16.0)
    order = curves.removal_order(weights.reshape(4, 4), (4, 4))
    assert order.tolist() == list(range(15, -1, -1))

    def score(images: Any) -> Any:
        return (images[..., 0] / 200).reshape(len(images), -1) @ weights

    scores = curves.score_masks(IMAGE, FILL, curves.deletion_masks(order, STEPS), score)
    assert scores.tolist() == [sum(range(16 - 2 * step)) for step in range(STEPS + 1)]


def test_insertion_is_deletion_in_reverse_order() -> None:
    order = curves.removal_order(curves.random_grid((4, 4), 3), (4, 4))
    deletion, insertion = curves.deletion_masks(order[::-1], STEPS), curves.insertion_masks(order, STEPS)
    np.testing.assert_array_equal(deletion[::-1], insertion)


def test_equal_images_are_scored_once() -> None:
    seen: list[int] = []

    def score(images: Any) -> Any:
        seen.append(len(images))
        return images.mean(axis=(1, 2, 3))

    order = curves.removal_order(map_of(0, 0), (4, 4))
    masks = np.stack([curves.deletion_masks(order, STEPS)] * 3 + [curves.insertion_masks(order, STEPS)])
    scores = curves.score_masks(IMAGE, FILL, masks, score)
    assert scores.shape == (4, STEPS + 1)
    np.testing.assert_array_equal(scores[0], scores[2])
    assert sum(seen) == 2 * (STEPS + 1) - 2  # both curves share their ends


def test_order_of_a_constant_map_prefers_no_side() -> None:
    order = curves.removal_order(np.ones((2, 2)), (16, 16))
    rows = order[: len(order) // 2] // 16
    assert abs(rows.mean() - 7.5) < 1
    np.testing.assert_array_equal(order, curves.removal_order(np.zeros((2, 2)), (16, 16)))


@pytest.mark.parametrize("channels", [1, 3])
def test_blurred_image_keeps_its_brightness_and_loses_its_edges(channels: int) -> None:
    image = np.zeros((32, 32, channels), np.uint8)
    image[8:24, 8:24] = 240
    found = curves.blurred(image).astype(int)
    assert found.shape == image.shape
    assert abs(found.mean() - image.mean()) < 5
    assert np.abs(np.diff(found, axis=0)).max() < 30
