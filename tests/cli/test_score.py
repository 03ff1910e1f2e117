"""`camserve score` against a real server."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.access import mode
from support.command_line import call
from support.stub_server import StubServer, Tensors, correct_answer
from support.toy import toy_contract

from camserve.clients import Classifier
from camserve.serving import TritonServer

pytestmark = pytest.mark.slow


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "photos" / "cat.png"
    path.parent.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return path


def test_score_writes_one_row_per_image(image: Path, toy_server: TritonServer, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    result = call("score", image.parent, image, "--model", "toy", "--url", toy_server.grpc_url, "--output", table)
    assert result.returncode == 0, result.stderr
    assert "2 images" in result.stdout
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == [str(image), str(image)]
    assert [row["error"] for row in rows] == ["", ""]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_bad_image_gets_a_row_and_exit_code_3(
    image: Path, toy_server: TritonServer, tmp_path: Path, ending: str
) -> None:
    image.with_name("bad.png").write_bytes(b"no image")
    table = tmp_path / f"table.{ending}"
    url = toy_server.grpc_url
    result = call("score", image.parent, "--model", "toy", "--url", url, "--output", table, "--json")
    assert result.returncode == 3
    summary = json.loads(result.stdout)
    assert (summary["rows"], summary["errors"], summary["output"]) == (2, 1, str(table))
    assert "1 of 2 rows contains an error" in result.stderr
    assert table.exists()


def test_a_folder_without_images_is_wrong_usage(toy_server: TritonServer, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    table = tmp_path / "table.csv"
    result = call("score", tmp_path / "empty", "--model", "toy", "--url", toy_server.grpc_url, "--output", table)
    assert result.returncode == 2
    assert not table.exists()


def test_what_a_folder_leaves_out_is_counted_and_named(
    image: Path, toy_server: TritonServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image.rename(image.with_name("no ending"))
    (image.parent / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    for name in (".DS_Store", "Thumbs.db", "notes.txt"):
        (image.parent / name).touch()
    (image.parent / "new").mkdir()
    monkeypatch.chdir(tmp_path)
    command = ("score", "photos", "--model", "toy", "--url", toy_server.grpc_url, "--output", "table.csv", "--json")
    result = call(*command)
    assert result.returncode == 3
    with Path("table.csv").open(newline="") as stream:
        good, bad = csv.DictReader(stream)
    assert (good["path"], good["error"]) == ("photos/no ending", "")
    assert bad["path"] == "photos/phone.HEIC"
    assert "HEIC" in bad["error"] or "corrupt" in bad["error"]  # the latter where pillow-heif is installed
    assert json.loads(result.stdout)["left_out"] == {
        "hidden_files": {"count": 2, "first": ["photos/.DS_Store", "photos/Thumbs.db"]},
        "not_images": {"count": 1, "first": ["photos/notes.txt"]},
        "empty_folders": {"count": 1, "first": ["photos/new"]},
    }
    line = (
        "Left out: 2 hidden files ('photos/.DS_Store', 'photos/Thumbs.db'), "
        "1 file that is not an image ('photos/notes.txt'), 1 empty folder ('photos/new')"
    )
    assert line in result.stderr.splitlines()


def test_the_table_in_the_folder_of_its_images_is_not_left_out(
    image: Path, toy_server: TritonServer, tmp_path: Path
) -> None:
    table = image.parent / "table.csv"
    result = call("score", image.parent, "--model", "toy", "--url", toy_server.grpc_url, "--output", table)
    assert result.returncode == 0, result.stderr
    assert "Left out" not in result.stderr


def test_a_quoted_pattern_is_expanded(image: Path, toy_server: TritonServer, tmp_path: Path) -> None:
    where = ("--model", "toy", "--url", toy_server.grpc_url, "--output", tmp_path / "table.csv")
    result = call("score", image.parent / "*.png", *where)
    assert result.returncode == 0, result.stderr
    result = call("score", image.parent / "*.gif", *where)
    assert result.returncode == 2
    assert f"no file matches {image.parent / '*.gif'}" in result.stderr


def test_bad_images_alone_end_with_1(toy_server: TritonServer, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    table = tmp_path / "table.csv"
    result = call("score", tmp_path / "bad.png", "--model", "toy", "--url", toy_server.grpc_url, "--output", table)
    assert result.returncode == 1
    assert "1 of 1 row contains an error" in result.stderr


def test_a_misspelled_input_keeps_the_previous_table(image: Path, toy_server: TritonServer, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("old")
    misspelled = image.with_name("cta.png")
    result = call("score", image, misspelled, "--model", "toy", "--url", toy_server.grpc_url, "--output", table)
    assert result.returncode == 2
    assert str(misspelled) in result.stderr
    assert table.read_text() == "old"


def test_a_replaced_table_stays_private(image: Path, toy_server: TritonServer, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.touch(0o600)
    result = call("score", image, "--model", "toy", "--url", toy_server.grpc_url, "--output", table, "--json")
    assert json.loads(result.stdout)["access_kept"] is True
    assert mode(table) == 0o600


def test_formulas_are_escaped_for_spreadsheets(
    image: Path, toy_server: TritonServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image.rename("=1+1.png")
    where = ("--model", "toy", "--url", toy_server.grpc_url, "--output", "table.csv")
    for options, path in (((), "=1+1.png"), (("--spreadsheet-safe",), "'=1+1.png")):
        assert call("score", "=1+1.png", *where, *options).returncode == 0
        with Path("table.csv").open(newline="") as stream:
            assert [row["path"] for row in csv.DictReader(stream)] == [path]


@pytest.mark.timeout(20)
def test_a_pipe_is_refused_before_the_server_is_contacted(image: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "table.csv")
    result = call("score", image, "--model", "toy", "--url", "127.0.0.1:9", "--output", tmp_path / "table.csv")
    assert result.returncode == 2
    assert "is a named pipe; a table replaces a regular file" in result.stderr


def test_top_is_limited_to_the_classes_of_the_model(image: Path, toy_server: TritonServer, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    url = toy_server.grpc_url
    result = call("score", image, "--model", "toy", "--url", url, "--output", table, "--top", "900")
    assert result.returncode == 0, result.stderr
    assert "class_4" in table.read_text()
    assert "class_5" not in table.read_text()


@pytest.fixture
def swapped_server() -> Iterator[StubServer]:
    """Return a server that loads version 2 before its third answer."""

    def answer(names: Sequence[str], count: int) -> Tensors:
        server.version = "1" if len(server.batch_sizes) < 3 else "2"
        answers = correct_answer(server.contract, count)
        return {name: answers[name] for name in names}

    server = StubServer(toy_contract(), answer)
    with server:
        yield server


def test_a_table_of_two_versions_names_them(image: Path, swapped_server: StubServer, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    where = ("--model", "toy", "--url", swapped_server.url, "--concurrency", "1")
    image.with_name("bad.png").write_bytes(b"no image")
    result = call("score", image.parent, *[image] * 5, *where, "--output", table, "--json")
    assert result.returncode == 3
    assert json.loads(result.stdout)["versions"] == {"1": 2, "2": 4}
    assert (
        "warning: 2 versions of the model answered: version 1 in 2 rows, version 2 in 4 rows; for answers of one "
        "version, score again with --pin-version\n"
    ) in result.stderr
    with table.open(newline="") as stream:
        origins = [(row["model"], row["version"]) for row in csv.DictReader(stream)]
    assert origins == [("", ""), *[("toy", "1")] * 2, *[("toy", "2")] * 4]


def test_all_probabilities_are_columns_in_class_order(image: Path, toy_server: TritonServer, tmp_path: Path) -> None:
    table, where = tmp_path / "table.csv", ("--model", "toy", "--url", toy_server.grpc_url)
    result = call("score", image, *where, "--output", table, "--top", "1", "--all-probabilities")
    assert result.returncode == 0, result.stderr
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        expected = classifier.classify(image)
    with table.open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    names = [f"probability_of_class {index}" for index in range(4)]
    assert list(row)[-5:] == ["sha256", *names]
    assert [float(row[name]) for name in names] == expected.probabilities.tolist()
    assert row["probability_1"] == row[f"probability_of_{row['label_1']}"]


def test_a_table_with_a_pinned_version_contains_no_row_of_another(
    image: Path, swapped_server: StubServer, tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    where = ("--model", "toy", "--url", swapped_server.url, "--concurrency", "1", "--output", table, "--json")
    result = call("score", *[image] * 5, *where, "--pin-version")
    assert json.loads(result.stdout)["versions"] == {"1": 2}
    assert "answered" not in result.stderr
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["version"] for row in rows] == ["1", "1", "", "", ""]
    assert all("it is from version 2" in row["error"] for row in rows[2:])


def test_one_image_is_counted_and_a_replaced_table_is_reported(
    image: Path, toy_server: TritonServer, tmp_path: Path
) -> None:
    command = ("score", image, "--model", "toy", "--url", toy_server.grpc_url, "--output", tmp_path / "table.csv")
    first, second = call(*command), call(*command)
    assert first.stdout.startswith("1 image in ")
    assert "replaced" not in first.stdout
    assert second.stdout.endswith(f"{tmp_path / 'table.csv'} (replaced)\n")
    assert json.loads(call(*command, "--json").stdout)["replaced"] is True
