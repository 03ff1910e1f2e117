from pathlib import Path

import pytest

from camserve.text import count, excerpt, listed, reason, shortened, suggest


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


def test_shortened_is_one_short_line() -> None:
    assert shortened("resnet50") == "resnet50"
    assert shortened("a\x1b[2J\n") == r"a\x1b[2J\n"
    assert shortened("9" * 5_000, 10) == "9999999999… (5,000 characters)"
    assert len(shortened("\0" * 100_000_000)) < 230


def test_listed_shortens_lists_and_names() -> None:
    assert listed(["a", "b"]) == "'a', 'b'"
    assert listed([str(number) for number in range(300_000)], 2) == "'0', '1' and 299,998 more"
    assert listed(["x" * 100]) == f"'{'x' * 60}… (100 characters)'"


def test_excerpt_is_json_on_one_short_line() -> None:
    assert [excerpt(value) for value in (True, None, "yes", [1, 2.5])] == ["true", "null", '"yes"', "[1, 2.5]"]
    assert excerpt(float("nan")) == "NaN"
    assert excerpt("a\x1b\u202e") == r'"a\u001b\u202e"'
    assert excerpt(b"bytes") == "b'bytes'"
    assert len(excerpt("x" * 1000)) == 60
