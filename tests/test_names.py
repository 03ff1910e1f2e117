"""Model names."""

import pytest

from camserve.errors import UsageError
from camserve.names import as_model_name, check_model_name


@pytest.mark.parametrize("name", ["resnet50", "a", "resnet50-signs.v2_x", "9lives", "x" * 128])
def test_valid_names_are_unchanged(name: str) -> None:
    assert check_model_name(name) == name


PATHS = ["", ".", "..", "../x", "/etc", "a/b", "a\\b", "a\0b", "-a", ".a", "_a"]
BLANKS = ["a b", " a", "a\n", "a\t"]
LOOK_ALIKES = [
    "n\N{CYRILLIC SMALL LETTER A}me",
    "\N{FULLWIDTH LATIN SMALL LETTER R}esnet",
    "\N{ARABIC-INDIC DIGIT THREE}",
]


@pytest.mark.parametrize("name", [*PATHS, *BLANKS, *LOOK_ALIKES, "x" * 129, "x" * 300])
def test_unsafe_and_deceptive_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        check_model_name(name)


@pytest.mark.parametrize("text", ["réseau de neurones", "..", "", "x" * 300, "a/b", "mobilenet_1.00_224"])
def test_a_model_name_can_be_derived_from_any_text(text: str) -> None:
    assert check_model_name(as_model_name(text))
