"""Labels in text files."""

from pathlib import Path

import pytest

from camserve.bundle import read_labels
from camserve.errors import BundleError
from camserve.labels import label_lines


def test_there_is_one_label_per_line() -> None:
    assert label_lines("n01\tcat\r\ndog  \n\n") == ("n01\tcat", "dog")
    assert label_lines("a\u2028b\x0bc\nd") == ("a\u2028b\x0bc", "d")
    assert label_lines("") == ()


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes("\ufeffcat\ndog\n".encode())
    assert read_labels(tmp_path / "labels.txt") == ("cat", "dog")


def test_an_empty_line_between_labels_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\n\ndog\n")
    with pytest.raises(BundleError, match=r"line 2 of .* is empty"):
        read_labels(tmp_path / "labels.txt")
