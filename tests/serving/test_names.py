"""Model names and version numbers."""

from pathlib import Path

import pytest

from camserve.errors import UsageError
from camserve.names import check_model_name
from camserve.serving.versions import claimed_numbers, parse_version, version_folders


@pytest.mark.parametrize("name", ["resnet50", "a", "resnet50-signs.v2_x", "9lives", "x" * 128])
def test_plain_names_are_kept(name: str) -> None:
    assert check_model_name(name) == name


PATHS = ["", ".", "..", "../x", "/etc", "a/b", "a\\b", "a\0b", "-a", ".a", "_a"]
BLANKS = ["a b", " a", "a\n", "a\t"]
LOOK_ALIKES = [
    "n\N{CYRILLIC SMALL LETTER A}me",
    "\N{FULLWIDTH LATIN SMALL LETTER R}esnet",
    "\N{ARABIC-INDIC DIGIT THREE}",
]


@pytest.mark.parametrize("name", [*PATHS, *BLANKS, *LOOK_ALIKES, "x" * 129, "x" * 300])
def test_names_that_could_leave_the_repository_or_deceive_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        check_model_name(name)


@pytest.mark.parametrize("text", ["0", "01", "-1", "+1", "1.0", "²", "٣", "", "1 ", "1\n", "3.tmp", "9" * 30])
def test_only_plain_positive_numbers_are_versions(text: str) -> None:
    assert parse_version(text) is None


def test_versions_are_ordered_by_number_and_files_are_none(tmp_path: Path) -> None:
    for name in ("10", "9", "01", "3.tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "7").touch()
    assert list(version_folders(tmp_path)) == [9, 10]


def test_a_number_that_triton_could_read_is_claimed(tmp_path: Path) -> None:
    for name in ("2", "0012", "30.tmp", "staging-99"):
        (tmp_path / name).mkdir()
    assert claimed_numbers(tmp_path) == {2, 12, 30}
