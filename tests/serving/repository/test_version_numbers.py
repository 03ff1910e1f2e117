"""Version numbers."""

from pathlib import Path

import pytest

from camserve.serving.repository.version_numbers import claimed_numbers, parse_version, version_folders


@pytest.mark.parametrize("text", ["0", "01", "-1", "+1", "1.0", "²", "٣", "", "1 ", "1\n", "3.tmp", "9" * 30])
def test_only_plain_positive_numbers_are_versions(text: str) -> None:
    assert parse_version(text) is None


def test_version_folders_are_sorted_by_number_without_files(tmp_path: Path) -> None:
    for name in ("10", "9", "01", "3.tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "7").touch()
    assert list(version_folders(tmp_path)) == [9, 10]


def test_numbers_that_triton_would_read_are_claimed(tmp_path: Path) -> None:
    for name in ("2", "0012", "30.tmp", "staging-99"):
        (tmp_path / name).mkdir()
    assert claimed_numbers(tmp_path) == {2, 12, 30}
