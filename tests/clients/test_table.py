"""Tables in CSV and Parquet."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from camserve.clients import Prediction, ScoredRow, TableSummary, check_table, write_table
from camserve.errors import ClientError, ConnectionFailedError, UsageError

HEADER = ["path", "class_1", "label_1", "probability_1", "class_2", "label_2", "probability_2", "error"]
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


def rows() -> list[ScoredRow]:
    best = (Prediction(3, "tabby, cat", 0.123456789), Prediction(0, 'the "other"', 1e-9))
    return [*(ScoredRow(name, best) for name in NAMES), ScoredRow("bad.png", error="it is corrupt, really")]


def read_csv(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        return list(csv.reader(stream))


def read_parquet(path: Path) -> list[dict[str, Any]]:
    from pyarrow import parquet

    listed: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return listed


def test_csv_rows_round_trip_exactly(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    assert write_table(path, rows(), top=2) == TableSummary(rows=9, errors=1)
    header, *body = read_csv(path)
    assert header == HEADER
    for cells, name in zip(body, NAMES, strict=False):
        assert cells == [name, "3", "tabby, cat", "0.123456789", "0", 'the "other"', "1e-09", ""]
    assert body[-1] == ["bad.png", "", "", "", "", "", "", "it is corrupt, really"]
    assert b"caf\xe9.png" in path.read_bytes()


def test_parquet_rows_round_trip_exactly(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    assert write_table(path, rows(), top=2) == TableSummary(rows=9, errors=1)
    body = read_parquet(path)
    assert list(body[0]) == [*HEADER, "path_bytes"]
    for cells, name in zip(body, NAMES, strict=False):
        exact = cells["path"] if cells["path_bytes"] is None else os.fsdecode(cells["path_bytes"])
        assert exact == name
        assert (cells["class_1"], cells["label_1"], cells["error"]) == (3, "tabby, cat", None)
        assert cells["probability_1"] == pytest.approx(0.123456789, rel=1e-7)
    assert (body[-1]["class_1"], body[-1]["error"]) == (None, "it is corrupt, really")


def test_parquet_groups_join_to_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camserve.clients.table._ROWS_PER_GROUP", 7)
    for count in (0, 7, 20):
        path = tmp_path / f"{count}.parquet"
        write_table(path, (ScoredRow(str(number)) for number in range(count)), top=1)
        assert [row["path"] for row in read_parquet(path)] == [str(number) for number in range(count)]


@pytest.mark.parametrize("extension", ["csv", "parquet", "CSV"])
def test_fewer_classes_than_ranks_leave_cells_empty(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"table.{extension}"
    write_table(path, rows(), top=5)
    if extension == "parquet":
        assert read_parquet(path)[0]["class_3"] is None
    else:
        assert {len(cells) for cells in read_csv(path)} == {1 + 15 + 1}


def failing(error: BaseException) -> Iterator[ScoredRow]:
    yield from rows()
    raise error


@pytest.mark.parametrize("extension", ["csv", "parquet"])
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
        assert len(read_csv(real)[0]) == 2 + 3 * top
    assert list(real.parent.iterdir()) == [real]


@pytest.mark.parametrize("name", ["table.txt", "table", ".csv", "table.csv.gz"])
def test_an_unknown_extension_is_refused_before_scoring(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"must be \.csv or \.parquet"):
        write_table(tmp_path / name, failing(AssertionError("a row was read")))


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
