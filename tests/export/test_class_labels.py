"""The labels of an export and the notes about them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from support.toy import toy_contract

from camserve.contract import Activation
from camserve.errors import UsageError
from camserve.export.class_labels import has_two_labels, resolve_labels
from camserve.export.options import ExportOptions

UNKNOWN: Any = SimpleNamespace(imagenet=False, labels=None)


def resolve(labels: Any, classes: int, activation: Activation = "softmax", *, one_sigmoid: bool = False) -> Any:
    contract = toy_contract().model_copy(update={"classes": classes, "activation": activation})
    return resolve_labels(UNKNOWN, contract, ExportOptions(labels=labels), one_sigmoid=one_sigmoid)


def test_missing_labels_are_noted() -> None:
    resolved = resolve(None, 3)
    (note,) = resolved.notes
    assert note.startswith("no labels: answers contain class numbers")
    assert resolved.lines == ("0", "1", "2")


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("sigmoid", "two labels make it two classes"),
        ("softmax", "is 1 for every image"),
        ("linear", "not a probability"),
    ],
)
def test_a_single_value_is_noted(activation: Activation, expected: str) -> None:
    first, second = resolve(None, 1, activation).notes
    assert first.startswith("no labels")
    assert expected in second
    if activation != "sigmoid":
        assert resolve(["one"], 1, activation).notes == (second,)


def test_labels_of_the_source_need_no_note() -> None:
    source: Any = SimpleNamespace(imagenet=False, labels=("a", "b", "c", "d"))
    assert resolve_labels(source, toy_contract(), ExportOptions(), one_sigmoid=False).notes == ()


def test_two_classes_of_a_sigmoid_are_noted_with_their_identifiers_left_out() -> None:
    resolved = resolve({"0": ["n1", "cat"], "1": ["n2", "dog"]}, 2, "sigmoid", one_sigmoid=True)
    assert resolved.notes == (
        "one sigmoid is served as two classes: 'cat' (class 0) with 1 - p, 'dog' (class 1) with p",
    )
    assert resolve(["cat", "dog"], 2, "sigmoid").notes == ()


def test_labels_of_several_classes_are_noted() -> None:
    (note,) = resolve(["crane", "cat", "crane"], 3).notes
    assert note.startswith("1 label of several classes; the first is 'crane', of the classes 0, 2:")


@pytest.mark.parametrize("labels", [["cat"], ["a", "b", "c"]])
def test_one_sigmoid_takes_no_other_number_of_labels(labels: list[str]) -> None:
    assert not has_two_labels(ExportOptions(labels=labels))
    with pytest.raises(UsageError, match="in the list for one sigmoid, which decides between two classes"):
        resolve(labels, 1, "sigmoid")


def test_one_value_without_sigmoid_takes_one_label() -> None:
    assert resolve(["age"], 1, "linear").lines == ("age",)
    with pytest.raises(UsageError, match="3 labels in the list for 1 class"):
        resolve(["a", "b", "c"], 1, "linear")
