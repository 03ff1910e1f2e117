"""Invalid model names."""

from pathlib import Path

import pytest
from support.folders import content, tree

from camserve.bundle import Bundle
from camserve.errors import RepositoryError, UsageError
from camserve.serving import publish

BAD_NAMES = {
    "parent": "..",
    "itself": ".",
    "hidden": ".toy",
    "absolute": "/absolute",
    "slash": "a/b",
    "backslash": "a\\b",
    "NUL": "a\0b",
    "300 characters": "x" * 300,
    "empty": "",
    "space": "white space",
    "newline": "toy\n",
    "tab": "a\tb",
    "zero width": "to\N{ZERO WIDTH SPACE}y",
    "right to left": "\N{RIGHT-TO-LEFT OVERRIDE}toy",
    "Cyrillic": "t\N{CYRILLIC SMALL LETTER O}y",
    "Greek": "t\N{GREEK SMALL LETTER OMICRON}y",
    "fullwidth": "\N{FULLWIDTH LATIN SMALL LETTER T}oy",
    "accent": "to\N{COMBINING ACUTE ACCENT}y",
    "undecodable": "to\udcffy",
    "option": "--toy",
}


@pytest.mark.parametrize("kind", BAD_NAMES)
def test_an_invalid_name_changes_nothing(toy_bundle: Bundle, tmp_path: Path, kind: str) -> None:
    with pytest.raises(UsageError):
        publish(toy_bundle, tmp_path / "repository", name=BAD_NAMES[kind])
    assert tree(tmp_path) == set()


def test_valid_names_are_accepted(toy_bundle: Bundle, tmp_path: Path) -> None:
    for name in ("x" * 128, "0", "a.b_c-d", "ResNet50"):
        assert publish(toy_bundle, tmp_path / "repository", name=name).name == name


def test_a_model_folder_that_is_a_link_is_refused(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path / "elsewhere")
    before = content(tmp_path / "elsewhere")
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "toy").symlink_to(tmp_path / "elsewhere" / "toy")
    with pytest.raises(RepositoryError, match="is a link"):
        publish(toy_bundle, tmp_path / "repository")
    assert content(tmp_path / "elsewhere") == before
