"""Labels as text."""

from pathlib import Path

import pytest

from camserve.bundle import read_labels
from camserve.errors import BundleError
from camserve.labels import label_lines


def test_labels_come_one_a_line() -> None:
    assert label_lines("n01\tcat\r\ndog  \n\n") == ("n01\tcat", "dog")
    assert label_lines("a\u2028b\x0bc\nd") == ("a\u2028b\x0bc", "d")
    assert label_lines("") == ()


def test_a_byte_order_mark_is_no_part_of_a_label(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes("\ufeffcat\ndog\n".encode())
    assert read_labels(tmp_path / "labels.txt") == ("cat", "dog")


def test_an_empty_line_in_the_middle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\n\ndog\n")
    with pytest.raises(BundleError, match=r"line 2 of .* is empty"):
        read_labels(tmp_path / "labels.txt")
