"""The metrics, compared with scikit-learn and scipy, and with values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from camserve.clients.evaluation.metrics import (
    Places,
    calibration,
    class_metrics,
    confusion_cells,
    sign_test,
    top_accuracies,
)

NAMES = ("b", "a", "d", "c", "never")


def random_answers() -> tuple[Places, Places]:
    source = np.random.default_rng(0)
    truth = source.integers(0, 4, 500).astype(np.int32)
    best = np.where(source.random(500) < 0.6, truth, source.integers(0, 3, 500)).astype(np.int32)  # 3 only if true
    return truth, best


def test_class_metrics_equal_those_of_scikit_learn() -> None:
    truth, best = random_answers()
    found = class_metrics(truth, best, NAMES)
    assert [each.label for each in found] == ["a", "b", "c", "d"]
    texts = [np.array(NAMES)[places] for places in (truth, best)]
    expected = precision_recall_fscore_support(*texts, labels=["a", "b", "c", "d"])
    for values, name in zip(expected, ("precision", "recall", "f1", "support"), strict=True):
        assert [getattr(each, name) for each in found] == pytest.approx(list(values), abs=1e-12)


def test_confusion_cells_equal_the_matrix_of_scikit_learn() -> None:
    truth, best = random_answers()
    expected = confusion_matrix(truth, best, labels=range(len(NAMES)))
    cells = {
        (NAMES.index(cell.truth), NAMES.index(cell.predicted)): cell.images
        for cell in confusion_cells(truth, best, NAMES)
    }
    assert cells == {place: number for place, number in np.ndenumerate(expected) if number}


def test_a_class_without_predictions_has_no_precision() -> None:
    truth, best = np.array([0, 1], np.int32), np.array([0, 0], np.int32)
    cat, dog = class_metrics(truth, best, ("cat", "dog"))
    assert (cat.precision, cat.recall, dog.precision, dog.recall, dog.f1) == (0.5, 1.0, None, 0.0, 0.0)


def test_top_accuracies_count_each_rank_once() -> None:
    hits = np.array([[True, False], [False, True], [False, False], [True, True]])
    first, second = top_accuracies(hits)
    assert (first.top, first.correct, first.accuracy) == (1, 2, 0.5)
    assert (second.top, second.correct, second.accuracy) == (2, 3, 0.75)
    for each in (first, second):
        expected = binomtest(each.correct, 4).proportion_ci(0.95, "wilson")
        assert each.interval == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_calibration_is_the_weighted_difference_of_the_bins() -> None:
    probabilities = np.array([0.95, 0.9, 0.7, 0.35, 1.0, 0.8])
    found = calibration(probabilities, np.array([True, False, True, False, True, False]))
    assert found is not None
    # (0.35 - 0) + (1 - 0.7) + (0.8 - 0) + (0.9 - 0) + 2 * (1 - 0.975), divided by 6
    assert found.expected_error == pytest.approx(2.4 / 6)
    assert found.probability == pytest.approx(4.7 / 6)
    assert [each.images for each in found.bins] == [0, 0, 0, 1, 0, 0, 1, 1, 1, 2]  # ends belong to the lower bin
    assert (found.bins[9].low, found.bins[9].high, found.bins[9].accuracy) == (0.9, 1.0, 1.0)
    assert found.bins[9].probability == pytest.approx(0.975)
    assert (found.bins[0].probability, found.bins[0].accuracy) == (None, None)


def test_values_that_are_no_probabilities_have_no_calibration() -> None:
    correct = np.array([True, False])
    assert calibration(np.array([0.5, 1.5]), correct) is None
    assert calibration(np.array([-0.5, 0.5]), correct) is None
    assert calibration(np.array([0.5, 1.0000001]), correct) is not None


@pytest.mark.parametrize(
    ("first", "second"),
    [(0, 0), (1, 0), (0, 5), (5, 5), (3, 9), (12, 4), (50, 51), (400, 480), (30_000, 30_600), (0, 2_000)],
)
def test_sign_test_is_the_exact_one_of_scipy(first: int, second: int) -> None:
    expected = binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
    assert sign_test(first, second) == pytest.approx(expected, rel=1e-8)
    assert sign_test(first, second) == sign_test(second, first)
