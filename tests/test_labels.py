"""Labels in text files, JSON, lists and dictionaries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camserve.bundle import read_labels
from camserve.errors import BundleError, UsageError
from camserve.labels import label_lines, parse_labels


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


def test_a_control_character_in_a_label_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("n01\tcat\nd\x1b[2Jog\n")
    with pytest.raises(BundleError, match=r"line 2 of .* contains the control character \\x1b"):
        read_labels(tmp_path / "labels.txt")
    (tmp_path / "labels.txt").write_text("n01\t\U0001f469\u200d\U0001f52c\nГав \u2028\xa0x\n")
    assert len(read_labels(tmp_path / "labels.txt")) == 2


@pytest.mark.parametrize("code", ["202a", "202e", "2066", "2069", "feff", "85", "7f"])
def test_a_character_that_changes_other_text_is_refused(code: str, tmp_path: Path) -> None:
    label = f"cat{chr(int(code, 16))}gnp"
    (tmp_path / "labels.txt").write_text(f"dog\n{label}\n", encoding="utf-8")
    with pytest.raises(BundleError, match=rf"line 2 of .* contains the control character \\[ux]{code}"):
        read_labels(tmp_path / "labels.txt")
    with pytest.raises(UsageError, match="invalid label"):
        parse_labels(["dog", label])


@pytest.mark.parametrize(
    "document",
    [
        {"dog": 1, "cat": 0},
        {"1": "dog", "0": "cat"},
        ["cat", "dog"],
        {"0": ["n01", "cat"], "1": ["n02", "dog"]},
        [["n01", "cat"], ["n02", "dog"]],
    ],
)
def test_json_is_recognized_by_name_and_by_content(document: Any, tmp_path: Path) -> None:
    expected = ("n01\tcat", "n02\tdog") if "n01" in json.dumps(document) else ("cat", "dog")
    for name in ("labels.json", "labels.txt", "LABELS.JSON", "labels"):
        (tmp_path / name).write_text(json.dumps(document, indent=1), encoding="utf-8-sig")
        assert parse_labels(tmp_path / name) == parse_labels(str(tmp_path / name)) == expected
    assert parse_labels(document) == expected


def test_lists_and_dictionaries_of_python_are_labels() -> None:
    assert parse_labels({0: "cat", 1: "dog"}) == ("cat", "dog")
    assert parse_labels({"cat": np.int64(0), "dog": np.int64(1)}) == ("cat", "dog")
    assert parse_labels(np.array(["cat", "dog"])) == ("cat", "dog")
    assert parse_labels({"0": 0, "1": 1, "10": 2}) == ("0", "1", "10")  # folders named by digits
    assert parse_labels({"b": 0, "a": 1}) == ("b", "a")
    assert parse_labels(["crane", "crane"]) == ("crane", "crane")  # ImageNet has such labels


@pytest.mark.parametrize("labels", [{"cat", "dog"}, frozenset({"cat"}), iter(["cat", "dog"])])
def test_labels_without_order_or_read_only_once_are_refused(labels: Any) -> None:
    with pytest.raises(UsageError, match="labels must be a path, a list or a dictionary, got "):
        parse_labels(labels)
    assert parse_labels({"cat": 0, "dog": 1}.keys()) == ("cat", "dog")


def test_text_that_looks_like_json_stays_text(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("[background]\n{other}\n")
    assert parse_labels(tmp_path / "labels.txt") == ("[background]", "{other}")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"cat": 0, "dog": 2}', "class 1 has no label in .*, whose class numbers are 0 to 2"),
        ('{"1": "cat", "2": "dog"}', "class 0 has no label in"),
        ('{"cat": 0, "dog": 0}', "class 0 has two labels in .*: 'cat' and 'dog'"),
        ('{"cat": 0, "cat": 1}', "label 'cat' has two classes in .*: 0 and 1"),
        ('{"0": "cat", "0": "dog"}', "class 0 has two labels in .*: 'cat' and 'dog'"),
        ('{"cat": -1, "dog": 0}', "class 1 has no label in .*, whose class numbers are -1 to 0"),
        ('{"cat": "0"}', "the entry 'cat': '0', which is neither"),
        ('{"cat": 0, "dog": 1.0}', "the entry 'dog': 1.0, which is neither"),
        ('{"cat": 0, "1": "dog"}', "entries of both forms"),
        ('{"cat": true}', "the entry 'cat': True"),
        ('{"class_indices": {"cat": 0}}', "the entry 'class_indices'"),
        ('["cat", 1]', "the label of class 1 in .* is not text: 1"),
        ('["cat", ["a", "b", "c"]]', "the label of class 1 in .* is not text"),
        ('["cat", ""]', "invalid label '' of class 1"),
        (
            '["cat", ["n01", "%s"]]' % ("d" * 9_997),
            "the label of class 1 in .* has 10,001 characters, more than 10,000",
        ),
        ('["a\\nb"]', r"invalid label 'a\\nb' of class 0"),
        ('["a\\u001b[2J"]', r"invalid label 'a\\x1b\[2J' of class 0"),
        ('["a\\ud800"]', r"invalid label 'a\\ud800' of class 0"),
        ('{"%s": "cat"}' % ("9" * 5000), "which is neither"),
        ('"cat"', "contains neither a list nor a dictionary"),
        ("cat\ndog\n", "is not valid JSON"),
    ],
)
def test_gaps_duplicates_and_other_mistakes_are_named(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=why):
        parse_labels(path)
