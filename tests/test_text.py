from pathlib import Path

import pytest

from camserve.text import count, reason, suggest


@pytest.mark.parametrize(
    ("number", "noun", "expected"),
    [
        (0, "image", "0 images"),
        (1, "image", "1 image"),
        (2, "class", "2 classes"),
        (3, "batch", "3 batches"),
        (1797, "digit", "1,797 digits"),
    ],
)
def test_count_agrees_with_its_noun(number: int, noun: str, expected: str) -> None:
    assert count(number, noun) == expected


def test_count_takes_an_irregular_plural() -> None:
    assert count(2, "copy", "copies") == "2 copies"


def test_reason_names_only_another_file(tmp_path: Path) -> None:
    missing = FileNotFoundError(2, "No such file or directory", str(tmp_path / "labels.txt"))
    assert reason(missing, tmp_path / "labels.txt") == "No such file or directory"
    assert reason(missing, tmp_path) == f"No such file or directory: {tmp_path / 'labels.txt'}"
    assert reason(ValueError("line 3")) == "line 3"


def test_suggest_names_the_most_similar_choice() -> None:
    assert suggest("resnet5", ["digits", "resnet50"]) == "Did you mean 'resnet50'?"
    assert suggest("resnet5", ["digits"]) is None
