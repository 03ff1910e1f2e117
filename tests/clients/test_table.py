"""Tables in CSV, JSON Lines and Parquet."""

from __future__ import annotations

import csv
import json
import os
import socket
import sys
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.access import as_another_user, mode, needs_root

from camserve.clients import Prediction, ScoredRow, TableSummary, check_table, write_table
from camserve.clients.evaluation.answers import read_answers
from camserve.errors import ClientError, ConnectionFailedError, ContractError, UsageError

RANKS = ["class_1", "label_1", "probability_1", "class_2", "label_2", "probability_2"]
NAMES = [
    "plain.png",
    "comma, quote\" and 'apostrophe'.png",
    "two\nlines.png",
    "carriage\rreturn.png",
    "日本.png",
    " spaces .png",
    os.fsdecode(b"caf\xe9.png"),
    "plain.png",
]

SHA256 = "ab" * 32


def rows() -> list[ScoredRow]:
    best = (Prediction(3, "tabby, cat", 0.123456789), Prediction(0, 'the "other"', 1e-9))
    good = [
        ScoredRow(name, best, model="pets", version=str(1 + (at > 5)), id=f"{at}/{name}", sha256=SHA256)
        for at, name in enumerate(NAMES)
    ]
    return [*good, ScoredRow("bad.png", error="it is corrupt, really", id="bad.png")]


def read_csv(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        return list(csv.reader(stream))


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().decode().split("\n")[:-1]]


def read_parquet(path: Path) -> list[dict[str, Any]]:
    from pyarrow import parquet

    listed: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return listed


def test_csv_rows_round_trip_exactly(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    assert write_table(path, rows(), top=2) == TableSummary(rows=9, errors=1, versions={"1": 6, "2": 2})
    header, *body = read_csv(path)
    assert header == ["path", *RANKS, "error", "model", "version", "id", "sha256"]
    for place, (cells, name) in enumerate(zip(body, NAMES, strict=False)):
        assert cells[:9] == [name, "3", "tabby, cat", "0.123456789", "0", 'the "other"', "1e-09", "", "pets"]
        assert cells[10:] == [f"{place}/{name}", SHA256]
    assert [cells[9] for cells in body] == ["1"] * 6 + ["2"] * 2 + [""]
    assert body[-1] == ["bad.png", "", "", "", "", "", "", "it is corrupt, really", "", "", "bad.png", ""]
    assert b"caf\xe9.png" in path.read_bytes()


def test_parquet_rows_round_trip_exactly(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    assert write_table(path, rows(), top=2) == TableSummary(rows=9, errors=1, versions={"1": 6, "2": 2})
    body = read_parquet(path)
    assert list(body[0]) == ["path", *RANKS, "error", "path_bytes", "model", "version", "id", "sha256"]
    for place, (cells, name) in enumerate(zip(body, NAMES, strict=False)):
        exact = cells["path"] if cells["path_bytes"] is None else os.fsdecode(cells["path_bytes"])
        assert exact == name
        assert (cells["class_1"], cells["label_1"], cells["error"]) == (3, "tabby, cat", None)
        assert cells["probability_1"] == pytest.approx(0.123456789, rel=1e-7)
        assert (cells["id"], cells["sha256"]) == (f"{place}/{cells['path']}", SHA256)
    assert [cells["version"] for cells in body] == ["1"] * 6 + ["2"] * 2 + [None]
    assert [cells["model"] for cells in body] == ["pets"] * 8 + [None]
    assert (body[-1]["class_1"], body[-1]["error"]) == (None, "it is corrupt, really")
    assert (body[-1]["id"], body[-1]["sha256"]) == ("bad.png", None)


def test_json_lines_round_trip_exactly(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    assert write_table(path, rows(), top=3) == TableSummary(rows=9, errors=1, versions={"1": 6, "2": 2})
    body = read_json_lines(path)
    ranks = [*RANKS, "class_3", "label_3", "probability_3"]
    assert list(body[0]) == ["path", *ranks, "error", "path_bytes", "model", "version", "id", "sha256"]
    for cells, name in zip(body, NAMES, strict=False):
        exact = cells["path"] if cells["path_bytes"] is None else os.fsdecode(b64decode(cells["path_bytes"]))
        assert exact == name
        assert [cells[rank] for rank in ranks] == [3, "tabby, cat", 0.123456789, 0, 'the "other"', 1e-9, *[None] * 3]
        assert (cells["error"], cells["model"], cells["sha256"]) == (None, "pets", SHA256)
    assert body[-1] == dict.fromkeys(body[0]) | {
        "path": "bad.png",
        "error": "it is corrupt, really",
        "id": "bad.png",
    }


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_evaluate_reads_every_path_as_it_was_scored(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"table.{extension}"
    write_table(path, rows(), top=2)
    assert list(read_answers(path).paths) == [*NAMES, "bad.png"]


def test_parquet_groups_join_to_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camserve.clients.tables.parquet_file._ROWS_PER_GROUP", 6)
    monkeypatch.setattr("camserve.clients.tables.parquet_file._ROWS_PER_PART", 3)
    parquet = pytest.importorskip("pyarrow.parquet")
    for count in (0, 7, 20):
        path = tmp_path / f"{count}.parquet"
        write_table(path, (ScoredRow(str(number)) for number in range(count)), top=1)
        assert [row["path"] for row in read_parquet(path)] == [str(number) for number in range(count)]
        assert parquet.ParquetFile(path).num_row_groups == -(-count // 6)


LABELS = ["crane", 'tabby, "cat"', "crane", "1", "crane (class 0)", "=1"]
CLASS_COLUMNS = [
    "probability_of_crane (class 0) (class 0)",
    'probability_of_tabby, "cat"',
    "probability_of_crane (class 2)",
    "probability_of_1",
    "probability_of_crane (class 0) (class 4)",
    "probability_of_=1",
]
PROBABILITIES = np.array([[0.5, 0.25, 0.1, 0.1, 0.03, 0.02], [0, 1e-9, 0, 1, 0, 0]], np.float32)


def rows_of_all_classes() -> list[ScoredRow]:
    bad = ScoredRow("bad.png", error="it is corrupt")
    good = [
        ScoredRow(f"{place}.png", (Prediction(best, LABELS[best], float(values[best])),), probabilities=values)
        for place, (values, best) in enumerate(zip(PROBABILITIES, (0, 3), strict=True))
    ]
    return [good[0], bad, good[1]]


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("group", [1, 1000])
def test_probabilities_of_all_classes_round_trip_exactly_by_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extension: str, group: int
) -> None:
    monkeypatch.setattr("camserve.clients.tables.parquet_file._BYTES_PER_PART", group)
    monkeypatch.setattr("camserve.clients.tables.parquet_file._BYTES_PER_GROUP", group)
    path = tmp_path / f"table.{extension}"
    write_table(path, rows_of_all_classes(), top=1, classes=LABELS)
    ranks = ["class_1", "label_1", "probability_1"]
    if extension == "csv":
        header, *body = read_csv(path)
        assert header == ["path", *ranks, "error", "model", "version", "id", "sha256", *CLASS_COLUMNS]
        assert body[1][-6:] == [""] * 6
        found = np.array([cells[-6:] for cells in (body[0], body[2])]).astype(float)
        assert [cells[3] for cells in (body[0], body[2])] == [body[0][9], body[2][12]]  # as probability_1
    else:
        listed = read_parquet(path) if extension == "parquet" else read_json_lines(path)
        assert list(listed[0]) == [
            "path",
            *ranks,
            "error",
            "path_bytes",
            "model",
            "version",
            "id",
            "sha256",
            *CLASS_COLUMNS,
        ]
        assert [listed[1][name] for name in CLASS_COLUMNS] == [None] * 6
        found = np.array([[listed[place][name] for name in CLASS_COLUMNS] for place in (0, 2)])
    assert np.array_equal(found, PROBABILITIES.astype(float))


@pytest.mark.parametrize("extension", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("classes", "error", "expected"),
    [
        (LABELS[:-1], ContractError, "0.png has other classes than the table: 6 classes instead of 5"),
        (["heron", *LABELS[1:]], ContractError, "0.png .*: class 0 is 'crane' instead of 'heron'"),
        ("crane", UsageError, "classes must be a list of labels"),
    ],
)
def test_other_classes_than_those_of_the_rows_are_refused(
    tmp_path: Path, extension: str, classes: Any, error: type[Exception], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        write_table(tmp_path / f"table.{extension}", rows_of_all_classes(), classes=classes)
    assert list(tmp_path.iterdir()) == []


def test_rows_without_all_probabilities_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"plain.png has no probabilities .* all_probabilities=True"):
        write_table(tmp_path / "table.csv", rows(), classes=["a", "b"])


@pytest.mark.parametrize("extension", ["csv", "parquet", "CSV"])
def test_fewer_classes_than_ranks_leave_cells_empty(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"table.{extension}"
    write_table(path, rows(), top=5)
    if extension == "parquet":
        assert read_parquet(path)[0]["class_3"] is None
    else:
        assert {len(cells) for cells in read_csv(path)} == {1 + 15 + 5}


def failing(error: BaseException) -> Iterator[ScoredRow]:
    yield from rows()
    raise error


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    "error", [ConnectionFailedError("gone"), ConnectionResetError("database gone"), KeyboardInterrupt()], ids=repr
)
def test_an_error_of_the_rows_is_raised_and_keeps_the_old_table(
    tmp_path: Path, extension: str, error: BaseException
) -> None:
    path = tmp_path / f"table.{extension}"
    path.write_bytes(b"old")
    with pytest.raises(type(error)) as caught:
        write_table(path, failing(error), top=2)
    assert caught.value is error
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("extension", ["csv", "parquet"])
def test_no_partial_table_is_visible(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"table.{extension}"

    def watching() -> Iterator[ScoredRow]:
        for row in rows():
            assert not path.exists()
            yield row

    write_table(path, watching(), top=2)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("extension", ["csv", "parquet"])
def test_a_full_disk_leaves_no_partial_table(tmp_path: Path, extension: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"table.{extension}"

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ClientError, match=r"table\.\w+ cannot be written: No space left on device"):
        write_table(path, rows(), top=2)
    assert list(tmp_path.iterdir()) == []


def test_a_table_has_the_default_permissions(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    write_table(tmp_path / "table.csv", rows())
    assert (tmp_path / "table.csv").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_table_is_written_to_the_target_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "table.data", tmp_path / "link.csv"
    link.symlink_to(real)
    for top in (1, 2):  # first without an existing table, then with one
        write_table(link, rows(), top=top)
        assert link.is_symlink()
        assert len(read_csv(real)[0]) == 1 + 3 * top + 5
    assert list(real.parent.iterdir()) == [real]


@pytest.mark.parametrize("name", ["table.txt", "table", ".csv", "table.csv.gz"])
def test_an_unknown_extension_is_refused_before_scoring(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"must be \.csv, \.jsonl or \.parquet"):
        write_table(tmp_path / name, failing(AssertionError("a row was read")))


@pytest.mark.parametrize("extension", ["csv", "parquet"])
def test_a_replaced_table_keeps_its_mode(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"table.{extension}"
    path.touch()
    path.chmod(0o600)
    assert write_table(path, rows()) == TableSummary(9, 1, access_kept=True, versions={"1": 6, "2": 2})
    assert mode(path) == 0o600
    link = tmp_path / f"link.{extension}"
    link.symlink_to(path)
    write_table(link, rows())
    assert (link.is_symlink(), mode(path)) == (True, 0o600)


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user may reach and write to."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@needs_root
def test_a_table_of_another_owner_is_reported_as_such(public_folder: Path) -> None:
    table = public_folder / "table.csv"
    table.touch(0o640)
    assert not as_another_user(public_folder, lambda: write_table(table, rows()).access_kept)
    assert mode(table) == 0o600


@pytest.mark.timeout(20)
@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_a_socket_and_a_device_are_refused_before_scoring(tmp_path: Path, linked: bool) -> None:
    pipe, bound = tmp_path / "pipe.csv", tmp_path / "socket.csv"
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(bound))
    device = tmp_path / "device.csv"
    device.symlink_to("/dev/null")
    for path, kind in ((pipe, "a named pipe"), (bound, "a socket"), (device, "a device")):
        link = tmp_path / f"link-{path.name}"
        link.symlink_to(path)
        with pytest.raises(UsageError, match=f"is {kind}; a table replaces a regular file"):
            write_table(link if linked else path, failing(AssertionError("a row was read")))


def test_a_cycle_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table.csv").symlink_to("table.csv")
    with pytest.raises(UsageError, match="cannot be written: Too many levels of symbolic links"):
        check_table(tmp_path / "table.csv")


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "=cmd|' /C calc'!A0"]


def test_formulas_are_exact_by_default_and_texts_when_escaped(tmp_path: Path) -> None:
    listed = [
        *(ScoredRow(text, (Prediction(1, text, 0.5), Prediction(0, "plain", 0.25))) for text in FORMULAS),
        ScoredRow("a;=1.png", error="-bad"),
    ]
    exact, safe = tmp_path / "exact.csv", tmp_path / "safe.csv"
    write_table(exact, listed, top=1)
    write_table(safe, listed, top=1, spreadsheet_safe=True)
    assert [cells[:3] for cells in read_csv(exact)[1:-1]] == [[text, "1", text] for text in FORMULAS]
    assert [cells[:4] for cells in read_csv(safe)[1:-1]] == [[f"'{t}", "1", f"'{t}", "0.5"] for t in FORMULAS]
    assert read_csv(safe)[-1] == ["a;=1.png", "", "", "", "'-bad", "", "", "", ""]
    assert safe.read_bytes().endswith(b'"a;=1.png","","","","\'-bad","","","",""\r\n')


@pytest.mark.parametrize("name", ["table.parquet", "table.jsonl", "table/"])
def test_other_tables_have_no_formulas_to_escape(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"applies to \.csv files only"):
        write_table(f"{tmp_path}/{name}", failing(AssertionError("a row was read")), spreadsheet_safe=True)


@needs_root
def test_a_folder_without_write_access_is_refused(public_folder: Path) -> None:
    def refused() -> bool:
        with pytest.raises(UsageError, match="is not writable"):
            check_table(public_folder / "table.csv")
        return True

    public_folder.chmod(0o755)
    assert as_another_user(public_folder, refused)


def test_a_folder_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        check_table(tmp_path / "folder.csv")
    with pytest.raises(UsageError, match="does not exist"):
        check_table(tmp_path / "none" / "table.csv")


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'camserve\[parquet\]'"):
        check_table(tmp_path / "table.parquet")
    write_table(tmp_path / "table.csv", rows())


@pytest.mark.skipif(os.geteuid() != 0, reason="requires root")
def test_table_of_another_user_in_a_sticky_folder_is_refused_before_scoring() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o1777)
        (folder / "other.csv").write_text("not ours")
        os.seteuid(65534)
        try:
            check_table(folder / "new.csv")
            with pytest.raises(UsageError, match=r"other\.csv cannot be replaced: it belongs to another user"):
                check_table(folder / "other.csv")
        finally:
            os.seteuid(0)
