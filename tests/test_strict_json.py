"""The strict reader of JSON: one meaning, or an error that names the place."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from camserve.strict_json import JsonError, parse_json

REFUSED = [
    ("", "it is not JSON"),
    ("{", "it is not JSON"),
    ("\ufeff{}", "it is not JSON"),
    (b"\xff{}", "it is not UTF-8: invalid start byte at byte 0"),
    ('{"a": 1, "a": 1}', "a is given twice"),
    ('{"a": [{}, {"b": 1, "b": {"c": 2}}]}', r"a\[1\]\.b is given twice"),
    ('{"a": 1, "\\u0061": 2}', "a is given twice"),
    ('{"a": 1, "a": 1, "a": 1}', "a is given twice"),
    ("[1, NaN]", r"\[1\] must be a finite number, got NaN"),
    ("-Infinity", "it must be a finite number, got -Infinity"),
    ('{"a": {"b": 1e400}}', r"a\.b must be a finite number, got 1e400"),
    ("9" * 5000, "at most 64 bits, got an integer of 5,000 digits"),
    (f"[-{'1' * 20}]", r"\[0\] must be a number of at most 64 bits, got -1{20}$"),
    (str(2**63), "at most 64 bits"),
    ('["\\ud800"]', r"\[0\] contains half of a surrogate pair"),
    ('{"\\udfff": 1}', "it contains half of a surrogate pair"),
    ("[" * 33 + "]" * 33, r"^(\[0\]){32} is nested more than 32 levels deep"),
    ('{"%s": ' % ("a" * 90) * 30 + "NaN" + "}" * 30, r"\(\d,\d+ characters\) must be a finite number"),
    ("[" * 100_000 + "]" * 100_000, "it is nested more than 32 levels deep"),
    ('{"a":' * 100_000 + "1" + "}" * 100_000, "it is nested more than 32 levels deep"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED, ids=[str(text[:20]) for text, _ in REFUSED])
def test_ambiguous_json_is_refused(text: str | bytes, why: str) -> None:
    with pytest.raises(JsonError, match=why) as caught:
        parse_json(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250


def test_size_is_limited() -> None:
    assert parse_json(b"[1, 2]", max_bytes=6) == [1, 2]
    with pytest.raises(JsonError, match="it has 7 bytes, and at most 6 are allowed"):
        parse_json(b"[1, 2] ", max_bytes=6)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**63) + 1,
        2**63 - 1,
        1.5,
        5e-324,
        sys.float_info.max,
        "",
        "\U0001f600\0",
        [],
        {},
        {"": [{"a": None}]},
    ],
)
def test_other_json_is_read_as_python_reads_it(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False), json.dumps(value, indent=2).encode()):
        assert parse_json(text) == value
        assert type(parse_json(text)) is type(value)


def test_nesting_up_to_the_limit_is_read() -> None:
    text = "[" * 32 + "]" * 32
    assert json.dumps(parse_json(text)) == text


def test_a_deep_stack_changes_nothing() -> None:
    def descend(levels: int) -> object:
        return parse_json("[" * 32 + "]" * 32) if levels == 0 else descend(levels - 1)

    assert descend(sys.getrecursionlimit() // 2) == parse_json("[" * 32 + "]" * 32)


OTHER_FORMATS = {
    "doctor/attempt.py",  # printed by a process of camserve
    "export/source",  # written by Keras, which reads it again after its checks
    "serving/backends",  # given by the Triton that runs the backend
    "labels.py",  # keeps both of two equal keys, to name the class with two labels
    "strict_json.py",
}


def test_nothing_else_reads_json_of_others() -> None:
    source = Path(__file__).parent.parent / "src" / "camserve"
    files = [
        file
        for folder in (source, *(source / name for name in ("export", "serving", "clients")))
        for file in folder.rglob("*.py")
    ]
    readers = {file.relative_to(source).as_posix() for file in files if "json.load" in file.read_text(encoding="utf-8")}
    assert len(files) > 300
    assert {reader for reader in readers if not reader.startswith(tuple(OTHER_FORMATS))} == set()
