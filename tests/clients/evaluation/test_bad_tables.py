"""Tables and label files with faults: the message names the file, the line and the remedy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.scored_tables import answer, write_answers

from camserve.clients import evaluate
from camserve.errors import UsageError

HEADER = "path,class_1,label_1,probability_1,error\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "", r"t\.csv, line 1: there are no columns"),
        ("t.csv", HEADER, r"t\.csv has no rows"),
        ("t.csv", "path,label_1\ncat/1.jpg,cat\n", r"t\.csv, line 1: there is no column 'probability_1'"),
        ("t.csv", "fname,camera\n1.jpg,x\n", r"no column 'path'; there are 'fname', 'camera'. Score again without"),
        ("t.csv", "path,path\na,b\n", r"line 1: 2 columns are named 'path'. Rename"),
        ("t.csv", HEADER + "cat/1.jpg,0,cat,1,\ncat/2.jpg,0,ca", r"line 3: the row has 3 cells, and the header 5"),
        ("t.csv", HEADER + 'cat/1.jpg,0,"cat', r"line 2: unexpected end of data"),
        ("t.csv", HEADER + "cat/1.jpg,0,cat,x,\n", r'line 2: probability_1 must be a number, got "x"'),
        ("t.csv", HEADER + "cat/1.jpg,0,cat,nan,\n", r'line 2: probability_1 must be a number, got "nan"'),
        ("t.csv", HEADER + "cat/1.jpg,,,,\n", r"line 2: the row has neither label_1 nor an error"),
        ("t.csv", HEADER + ",0,cat,1,\n", r"line 2: path must be the path of an image"),
        ("t.jsonl", '{"path": "cat/1.jpg", "label_1": "cat", "probability_1": 1}\n{"path"', r"line 2: it is not JSON"),
        ("t.jsonl", "[1]\n", r"line 1: the row is no JSON object"),
        ("t.jsonl", '{"path": "cat/1.jpg", "label_1": "cat"}\n', r"line 1: probability_1 must be a number, got null"),
        ("t.parquet", "no table", r"cannot read .*t\.parquet: "),
        ("t.xls", HEADER, r"the extension of .*t\.xls must be \.csv, \.jsonl, \.parquet"),
    ],
)
def test_a_fault_of_a_table_is_located(tmp_path: Path, name: str, content: str, message: str) -> None:
    table = tmp_path / name
    table.write_text(content)
    with pytest.raises(UsageError, match=message) as caught:
        evaluate(table)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path;label\na;b\n", r"line 1: there is no column 'path'; there are 'path;label'. .*separated by commas"),
        ("path,label\n1.jpg,cat\n./1.jpg,dog\n", r"line 3: 1.jpg has the label 'dog', and in .* line 2 'cat'"),
        ("path,label\n1.jpg,\n", r"line 2: label is empty"),
        ("path,label\n", "has no rows"),
    ],
)
def test_a_fault_of_a_label_file_is_located(tmp_path: Path, content: str, message: str) -> None:
    table, truth = write_answers(tmp_path / "table.csv"), tmp_path / "truth.csv"
    truth.write_text(content)
    with pytest.raises(UsageError, match=message):
        evaluate(table, truth=truth)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*none\.csv: No such file"):
        evaluate(tmp_path / "none.csv")
    with pytest.raises(UsageError, match=r"cannot read true labels from .*none\.csv: No such file.* --truth FILE"):
        evaluate(write_answers(tmp_path / "table.csv"), truth=tmp_path / "none.csv")


@pytest.mark.timeout(20)
def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "table.csv")
    with pytest.raises(UsageError, match="it is a pipe"):
        evaluate(tmp_path / "table.csv")


@pytest.mark.parametrize("extension", ["csv", "parquet"])
def test_names_that_are_no_utf_8_are_read_back(tmp_path: Path, extension: str) -> None:
    path = os.fsdecode(b"dog/caf\xe9.png")
    rows = [answer(path, ("cat", 0.5)), answer("cat/two\nlines, and\r.png", ("cat", 0.5))]
    found = evaluate(write_answers(tmp_path / f"table.{extension}", rows))
    assert [each.path for each in found.mistakes] == [path]
    assert found.accuracy == 0.5
