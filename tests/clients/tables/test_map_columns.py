"""Maps as columns of tables."""

from __future__ import annotations

import csv
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from camserve.clients import Classifier, Prediction, ScoredRow, evaluate, read_map_grid, write_table
from camserve.clients.scoring.row_maps import row_map
from camserve.errors import UsageError
from camserve.serving import TritonServer

COLUMNS = [
    "map_peak_x",
    "map_peak_y",
    "map_left",
    "map_top",
    "map_right",
    "map_bottom",
    "map_area_left",
    "map_area_top",
    "map_area_right",
    "map_area_bottom",
    "map_rows",
    "map_columns",
    "map_grid",
]
EXTENSIONS = ["csv", "jsonl", "parquet"]


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(newline="") as stream:
            return list(csv.DictReader(stream))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    listed: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return listed


@pytest.fixture(scope="module")
def scored(toy_server: TritonServer) -> tuple[list[ScoredRow], list[Any]]:
    """Rows with maps, one of them with an error, and the maps as the classifier returns them."""
    listed, cams = [], []
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        for seed in range(3):
            pixels = np.random.default_rng(seed).integers(0, 256, (9, 11 + seed, 3), dtype=np.uint8)
            answer = classifier.classify(Image.fromarray(pixels), cam=True)
            listed.append(ScoredRow(f"{seed}.png", answer.top, model="toy", version="1", map=row_map(answer.cams[0])))
            cams.append(classifier.cam(Image.fromarray(pixels)))
    return [*listed, ScoredRow("bad.png", error="it is corrupt")], cams


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_maps_equal_those_of_the_classifier(
    tmp_path: Path, scored: tuple[list[ScoredRow], list[Any]], extension: str
) -> None:
    listed, cams = scored
    path = tmp_path / f"table.{extension}"
    write_table(path, listed, top=1, maps=True)
    body = read(path)
    assert list(body[0])[-len(COLUMNS) - 1 :] == ["sha256", *COLUMNS]
    for cells, cam in zip(body, cams, strict=False):
        grid = read_map_grid(cells)
        assert grid is not None
        assert np.array_equal(grid, cam.grid)
        assert grid.dtype == np.float32
        found = tuple(int(cells[name]) for name in COLUMNS[:-3])
        assert found == (*cam.peak, *cam.bbox(), *cam.placement.box)
    assert all(body[-1][name] in (None, "") for name in COLUMNS)
    assert read_map_grid(body[-1]) is None


def test_numpy_reads_maps_in_one_line(tmp_path: Path, scored: tuple[list[ScoredRow], list[Any]]) -> None:
    listed, cams = scored
    for extension in EXTENSIONS:
        path = tmp_path / f"table.{extension}"
        write_table(path, listed, top=1, maps=True)
        row = read(path)[0]
        packed = row["map_grid"] if extension == "parquet" else b64decode(row["map_grid"])
        grid = np.frombuffer(packed, "<f4").reshape(int(row["map_rows"]), int(row["map_columns"]))
        assert np.array_equal(grid, cams[0].grid)


def made_row(grid: Any, box: tuple[int, int, int, int] | None = (1, 2, 3, 4)) -> ScoredRow:
    from camserve.clients import RowMap

    row_map = RowMap((5, 6), box, np.asarray(grid, np.float32), (0, 0, 7, 8))
    return ScoredRow("1.png", (Prediction(0, "cat", 0.5),), probabilities=np.ones(1, np.float32), map=row_map)


def test_a_map_without_positive_values_has_no_box(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    write_table(path, [made_row([[-1, -2, -3]], None)], top=1, maps=True)
    row = read(path)[0]
    assert [row[name] for name in COLUMNS[:-1]] == [5, 6, *[None] * 4, 0, 0, 7, 8, 1, 3]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_maps_precede_the_columns_of_classes(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"table.{extension}"
    write_table(path, [made_row([[1.0]])], top=1, maps=True, classes=["cat"])
    assert list(read(path)[0])[-3:] == ["map_columns", "map_grid", "probability_of_cat"]


def test_spreadsheet_safe_maps_are_read_back(tmp_path: Path) -> None:
    grid = np.frombuffer(b64decode("+AAAAAAAgD8="), "<f4").reshape(1, 2)  # starts like a formula
    path = tmp_path / "table.csv"
    write_table(path, [made_row(grid)], top=1, maps=True, spreadsheet_safe=True)
    row = read(path)[0]
    assert row["map_grid"] == "'+AAAAAAAgD8="
    found = read_map_grid(row)
    assert found is not None
    assert np.array_equal(found, grid)


def test_rows_without_maps_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"1\.png has no map\. Score with maps=True"):
        write_table(tmp_path / "table.csv", [ScoredRow("1.png", (Prediction(0, "cat", 0.5),))], maps=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"path": "1.png"}, "the row has no column 'map_grid'"),
        ({"map_grid": b"1234", "map_rows": 2, "map_columns": 1}, "map_grid is not a map of 2 x 1 values"),
        ({"map_grid": "?", "map_rows": "1", "map_columns": "1"}, "map_grid is not a map of 1 x 1 values"),
        ({"map_grid": b"1234", "map_rows": None, "map_columns": 1}, "map_grid is not a map of None x 1 values"),
    ],
)
def test_cells_that_are_no_map_are_refused(row: dict[str, Any], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        read_map_grid(row)


def test_evaluate_ignores_maps(tmp_path: Path) -> None:
    rows = [made_row([[1.0]])]
    for extension in EXTENSIONS:
        write_table(tmp_path / f"table.{extension}", rows, top=1, maps=True)
        (tmp_path / "truth.csv").write_text("path,label\n1.png,cat\n")
        assert evaluate(tmp_path / f"table.{extension}", truth=tmp_path / "truth.csv").accuracy == 1.0
