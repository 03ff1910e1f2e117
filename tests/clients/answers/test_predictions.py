"""Probabilities decoded into classes."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from camserve.clients.answers.predictions import Label, Prediction, check_probabilities, parse_label, top_predictions
from camserve.contract import Activation
from camserve.errors import ContractError, UsageError
from camserve.ranking import rank_classes


@pytest.fixture
def imagenet_labels(monkeypatch: pytest.MonkeyPatch) -> list[Label]:
    """Replace Keras's class index, which Keras would download."""
    from keras.src.applications import imagenet_utils

    index = {str(number): [f"n{number:08d}", f"thing_{number}"] for number in range(1000)}
    monkeypatch.setattr(imagenet_utils, "CLASS_INDEX", index)
    return [parse_label("\t".join(index[str(number)])) for number in range(1000)]


def rows_without_ties() -> list[np.ndarray[Any, Any]]:
    random = np.random.default_rng(0)
    smooth = random.dirichlet(np.ones(1000), 3).astype(np.float32)
    return [*smooth, random.permutation(1000).astype(np.float32) / 1000]


@pytest.mark.parametrize("top", [1, 5, 10, 1000, 2000])
def test_top_classes_equal_keras_decode_predictions(imagenet_labels: list[Label], top: int) -> None:
    from keras.applications.imagenet_utils import decode_predictions

    for row in rows_without_ties():
        (expected,) = decode_predictions(row[np.newaxis], top=top)
        predictions = top_predictions(row, rank_classes(row).tolist(), imagenet_labels, top)
        assert [(each.identifier, each.label, each.probability) for each in predictions] == [
            (identifier, label, float(probability)) for identifier, label, probability in expected
        ]


def test_a_large_top_returns_all_classes() -> None:
    labels = [Label("a"), Label("b")]
    best = top_predictions(np.array([0.25, 0.75], np.float32), [1, 0], labels, 5)
    assert best == (Prediction(1, "b", 0.75), Prediction(0, "a", 0.25))


@pytest.mark.parametrize(
    ("activation", "row"),
    [
        ("softmax", [-0.4, 2.1, -1.7]),
        ("softmax", [0.5, 0.9, 0.1]),
        ("sigmoid", [-0.1, 0.5, 0.9]),
        ("sigmoid", [1.5, 0, 0]),
    ],
)
def test_logits_are_not_accepted_as_probabilities(activation: Activation, row: list[float]) -> None:
    with pytest.raises(ContractError, match=f"which a {activation} cannot return"):
        check_probabilities(np.array([row], np.float32), activation)


def test_probabilities_in_half_precision_are_accepted() -> None:
    check_probabilities(np.random.default_rng(0).dirichlet(np.ones(1000), 8).astype(np.float16), "softmax")
    check_probabilities(np.array([[0.9, 0.8, 1.0]], np.float32), "sigmoid")
    check_probabilities(np.array([[-7.0, 3.0]], np.float32), "linear")


@pytest.mark.parametrize("top", [0, -1])
def test_top_must_be_at_least_1(top: int) -> None:
    with pytest.raises(UsageError, match=f"top must be at least 1, got {top}"):
        top_predictions(np.array([1.0], np.float32), [0], [Label("x")], top)


def test_a_label_line_may_contain_an_identifier() -> None:
    assert parse_label("n02123045\ttabby cat") == Label("tabby cat", "n02123045")
    assert parse_label("tabby cat") == Label("tabby cat", None)


def test_a_prediction_is_immutable() -> None:
    with pytest.raises(FrozenInstanceError):
        Prediction(0, "a", 1.0).label = "b"  # type: ignore[misc]
