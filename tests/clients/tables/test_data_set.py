"""Data sets: folders of Parquet files that appear when they are complete."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pyarrow import dataset, parquet
from support.access import mode
from support.scored_tables import PHOTOS

from camserve.clients import Prediction, ScoredRow, TableSummary, check_table, evaluate, write_table
from camserve.errors import ClientError, ConnectionFailedError, UsageError


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camserve.clients.tables.data_set._ROWS_PER_PART", 7)


def rows(count: int, model: str = "pets") -> Iterator[ScoredRow]:
    for number in range(count):
        yield ScoredRow(f"{number}.png", (Prediction(1, "cat", 0.5),), model=model, version="1", id=f"{number}.png")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("count", "parts"), [(0, 1), (1, 1), (7, 1), (8, 2), (20, 3)])
def test_parts_join_to_all_rows_in_order(tmp_path: Path, count: int, parts: int) -> None:
    summary = write_table(f"{tmp_path}/answers/", rows(count), top=1)
    assert summary == TableSummary(count, 0, versions={"1": count} if count else {})
    folder = tmp_path / "answers"
    assert names(folder) == ["_SUCCESS", *(f"part-{number:05d}.parquet" for number in range(parts))]
    table = dataset.dataset(folder).to_table()
    assert table.column("path").to_pylist() == [f"{number}.png" for number in range(count)]
    single = tmp_path / "single.parquet"
    write_table(single, rows(count), top=1)
    assert table.equals(parquet.read_table(single))
    assert names(tmp_path) == ["answers", "single.parquet"]


def test_parts_with_all_probabilities_have_fewer_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camserve.clients.tables.data_set._PROBABILITIES_PER_PART", 9)
    values = np.array([0.2, 0.5, 0.3], np.float32)
    listed = [ScoredRow(row.path, row.top, probabilities=values) for row in rows(4)]
    write_table(f"{tmp_path}/answers/", listed, top=1, classes=["dog", "cat", "bird"])
    sizes = [parquet.read_metadata(path).num_rows for path in sorted((tmp_path / "answers").glob("*.parquet"))]
    assert sizes == [3, 1]


@pytest.mark.parametrize("existing", ["empty folder", "data set"])
def test_a_data_set_of_an_earlier_run_is_replaced_as_a_whole(tmp_path: Path, existing: str) -> None:
    folder = tmp_path / "answers"
    if existing == "data set":
        write_table(f"{folder}/", rows(30), top=1)
        for path in folder.iterdir():
            path.chmod(0o640)
    else:
        folder.mkdir()
    folder.chmod(0o750)
    before = names(folder)

    def watching() -> Iterator[ScoredRow]:
        for row in rows(8, "new"):
            assert names(folder) == before
            yield row

    assert write_table(folder, watching(), top=1).access_kept
    assert names(folder) == ["_SUCCESS", "part-00000.parquet", "part-00001.parquet"]
    assert set(dataset.dataset(folder).to_table().column("model").to_pylist()) == {"new"}
    assert names(tmp_path) == ["answers"]
    assert mode(folder) == 0o750
    assert existing == "empty folder" or {mode(path) for path in folder.iterdir()} == {0o640}


@pytest.mark.parametrize(
    "error", [ConnectionFailedError("gone"), ConnectionResetError("database gone"), KeyboardInterrupt()], ids=repr
)
def test_an_error_of_the_rows_keeps_the_old_data_set(tmp_path: Path, error: BaseException) -> None:
    write_table(f"{tmp_path}/answers/", rows(3, "old"), top=1)

    def failing() -> Iterator[ScoredRow]:
        yield from rows(10)
        raise error

    with pytest.raises(type(error)) as caught:
        write_table(tmp_path / "answers", failing(), top=1)
    assert caught.value is error
    assert names(tmp_path) == ["answers"]
    assert dataset.dataset(tmp_path / "answers").to_table().column("model").to_pylist() == ["old"] * 3


def test_a_full_disk_leaves_no_partial_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = []

    def full(descriptor: int) -> None:
        flushed.append(descriptor)
        if len(flushed) > 1:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ClientError, match="answers/ cannot be written: No space left on device"):
        write_table(f"{tmp_path}/answers/", rows(20), top=1)
    assert names(tmp_path) == []


def test_two_runs_do_not_remove_each_other(tmp_path: Path) -> None:
    def another_run() -> Iterator[ScoredRow]:
        yield from rows(10)
        write_table(f"{tmp_path}/answers/", rows(1), top=1)

    write_table(f"{tmp_path}/answers/", another_run(), top=1)
    assert names(tmp_path) == ["answers"]
    assert len(names(tmp_path / "answers")) == 3


@pytest.mark.parametrize("name", ["cat.jpg", ".hidden", "part-00000-1b9d.snappy.parquet", "part-1.parquet", "cats"])
def test_a_folder_with_anything_else_is_refused_before_scoring(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / name).mkdir() if name == "cats" else (folder / name).touch()
    (folder / "_SUCCESS").touch()
    with pytest.raises(UsageError, match=rf"contains '{name}', and a data set, .* requires a folder of its own"):
        check_table(folder)
    assert names(folder) == sorted(["_SUCCESS", name])


def test_a_link_with_the_name_of_a_part_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    folder.mkdir()
    (folder / "part-00000.parquet").symlink_to(tmp_path / "precious.parquet")
    with pytest.raises(UsageError, match=r"contains 'part-00000\.parquet'"):
        check_table(folder)


def test_a_data_set_is_written_to_the_target_of_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "disk" / "real", tmp_path / "answers"
    real.mkdir(parents=True)
    link.symlink_to(real)
    write_table(link, rows(3), top=1)
    assert link.is_symlink()
    assert names(real) == ["_SUCCESS", "part-00000.parquet"]
    assert stat.S_IMODE(real.stat().st_mode) == stat.S_IMODE(tmp_path.joinpath("disk").stat().st_mode)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none/answers/", "folder .*none does not exist"),
        ("table.csv/", r"table\.csv is a file, and .*table\.csv/ the name of a folder"),
        ("work/", "is the working folder or a mounted file system"),
        ("answers", r"must be \.csv, \.jsonl or \.parquet"),
        ("folder.csv", "is a folder"),
    ],
)
def test_a_folder_that_cannot_become_a_data_set_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, expected: str
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "table.csv").touch()
    monkeypatch.chdir(tmp_path / "work")
    with pytest.raises(UsageError, match=expected):
        check_table(f"{tmp_path}/{name}")


def test_evaluate_reads_a_data_set_as_a_table(tmp_path: Path) -> None:
    write_table(f"{tmp_path}/answers/", PHOTOS * 3, top=2)
    write_table(tmp_path / "answers.csv", PHOTOS * 3, top=2)
    assert len(names(tmp_path / "answers")) == 4
    found, expected = evaluate(tmp_path / "answers"), evaluate(tmp_path / "answers.csv")
    assert (found.rows, found.images, found.accuracy) == (expected.rows, expected.images, expected.accuracy)
    assert np.array_equal(found.confusion_matrix(), expected.confusion_matrix())


def test_evaluate_reads_data_sets_of_other_programs(tmp_path: Path) -> None:
    write_table(tmp_path / "answers.parquet", PHOTOS, top=2)
    table = parquet.read_table(tmp_path / "answers.parquet")
    dataset.write_dataset(table, tmp_path / "set", format="parquet", partitioning=["error"])
    (tmp_path / "set" / "_temporary").mkdir()
    (tmp_path / "set" / "_temporary" / "part.parquet").touch()
    assert len(list((tmp_path / "set").rglob("[!_]*.parquet"))) == 3
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty contains no \.parquet file"):
        evaluate(tmp_path / "empty")
