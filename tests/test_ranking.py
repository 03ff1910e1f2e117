"""The order of classes."""

from __future__ import annotations

import numpy as np
import pytest

from camserve.answer_differences import misordered_maps
from camserve.ranking import best_classes, rank_classes


@pytest.mark.parametrize("classes", [1, 7, 100, 1000])
def test_equal_scores_are_ranked_by_class_number(classes: int) -> None:
    assert rank_classes(np.full(classes, 1.0, np.float32)).tolist() == list(range(classes))
    tied = np.random.default_rng(0).integers(0, 5, classes).astype(np.float32)
    assert rank_classes(tied).tolist() == sorted(range(classes), key=lambda index: (-tied[index], index))


def test_further_scores_decide_between_equal_ones() -> None:
    first, second = np.array([1.0, 2.0, 1.0, 1.0]), np.array([3.0, 0.0, 4.0, 3.0])
    assert rank_classes(first, second).tolist() == [1, 2, 0, 3]


def test_zeros_are_equal_and_nan_is_last() -> None:
    assert rank_classes(np.array([-0.0, 0.0, np.nan, np.inf, -np.inf])).tolist() == [3, 0, 1, 4, 2]


def test_each_row_of_a_batch_is_ranked() -> None:
    assert rank_classes(np.array([[0.0, 1.0], [1.0, 1.0]])).tolist() == [[1, 0], [0, 1]]


def test_maps_of_equal_logits_must_be_ordered_by_class_number() -> None:
    logits = np.array([[1.0, 2.0, 2.0], [1.0, 2.0, 3.0]])
    assert misordered_maps(np.array([[1, 2], [2, 1]]), logits).tolist() == [[False, False], [False, False]]
    assert misordered_maps(np.array([[2, 1], [2, 0]]), logits).tolist() == [[True, True], [False, True]]


@pytest.mark.parametrize("count", [1, 2, 5, 20, 25])
def test_best_classes_are_the_first_of_all(count: int) -> None:
    random = np.random.default_rng(count)
    distinct = random.normal(size=(6, 20)).astype(np.float32)
    tied = random.integers(0, 4, (6, 20)).astype(np.float32)
    odd = distinct.copy()
    odd[0, 3], odd[1, :], odd[2, 4], odd[3, :18] = np.nan, np.nan, -np.inf, np.inf
    for scores in (distinct, tied, odd, distinct[0], np.zeros((2, 3, 20))):
        np.testing.assert_array_equal(best_classes(scores, count), rank_classes(scores)[..., :count])
