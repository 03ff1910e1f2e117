import pytest

from camserve.text import count, suggest


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


def test_suggest_names_the_most_similar_choice() -> None:
    assert suggest("resnet5", ["digits", "resnet50"]) == "Did you mean 'resnet50'?"
    assert suggest("resnet5", ["digits"]) is None
