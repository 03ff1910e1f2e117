"""`camserve classify` and `camserve score` against a real server."""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from PIL import Image
from toy import write_toy_bundle

from camserve.clients import Classifier
from camserve.serving import TritonServer, publish


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return write_picture(tmp_path / "photos" / "cat.png", seed=0)


def write_picture(path: Path, *, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_classify_prints_what_the_library_answers(picture: Path, toy_server: TritonServer) -> None:
    result = run("classify", picture, "--model", "toy", "--url", toy_server.grpc_url, "--top", "2", "--json")
    assert result.returncode == 0, result.stderr
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        expected = classifier.classify(picture, top=2)
    (answer,) = json.loads(result.stdout)
    assert answer["image"] == str(picture)
    assert (answer["model"], answer["version"]) == ("toy", "1")
    assert [(one["index"], one["label"], one["probability"]) for one in answer["top"]] == [
        (one.index, one.label, one.probability) for one in expected.top
    ]


def test_classify_prints_a_table_for_each_image(picture: Path, toy_server: TritonServer) -> None:
    result = run("classify", picture, picture, "--model", "toy", "--url", toy_server.grpc_url)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("probability") == 2
    assert result.stdout.count("class 0") == 2


def test_a_bad_image_among_good_ones_is_told_and_the_others_are_done(picture: Path, toy_server: TritonServer) -> None:
    bad = picture.with_name("not\nan image.png")
    bad.write_bytes(b"GIF89a")
    missing = picture.with_name("missing.png")
    url = toy_server.grpc_url
    result = run("classify", bad, picture, missing, "--model", "toy", "--url", url, "--json")
    assert result.returncode == 3
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert ["error" in answer for answer in json.loads(result.stdout)] == [True, False, True]
    assert run("classify", bad, missing, "--model", "toy", "--url", url).returncode == 1


def test_a_map_is_written_for_each_image_and_none_replaces_that_of_another(
    picture: Path, toy_server: TritonServer, tmp_path: Path
) -> None:
    namesake = write_picture(tmp_path / "other" / "cat.png", seed=0)  # of the same name and the same class
    maps = tmp_path / "new" / "maps"
    arguments = ("--model", "toy", "--url", toy_server.grpc_url, "--cam-dir", maps, "--json")
    result = run("classify", picture, namesake, *arguments)
    assert result.returncode == 0, result.stderr
    written = [Path(answer["cam"]) for answer in json.loads(result.stdout)]
    assert len(set(written)) == 2
    assert sorted(maps.iterdir()) == sorted(written)
    for path in written:
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert min(image.size) >= 224
    again = run("classify", namesake, picture, *arguments)
    assert [Path(answer["cam"]) for answer in json.loads(again.stdout)] == written[::-1]
    assert sorted(maps.iterdir()) == sorted(written)


def test_a_map_that_cannot_be_written_is_the_error_of_its_image_alone(
    picture: Path, toy_server: TritonServer, tmp_path: Path
) -> None:
    other = write_picture(picture.with_name("dog.png"), seed=0)  # of the same class
    maps = tmp_path / "maps"
    arguments = ("--model", "toy", "--url", toy_server.grpc_url, "--cam-dir", maps, "--json")
    (name,) = (Path(answer["cam"]).name for answer in json.loads(run("classify", picture, *arguments).stdout))
    (maps / name).unlink()
    (maps / name).symlink_to(tmp_path / "missing" / "map.png")
    result = run("classify", picture, other, *arguments)
    assert result.returncode == 3
    assert f"the map of {picture} cannot be written to {maps}" in result.stderr
    assert "hint: " in result.stderr
    first, second = json.loads(result.stdout)
    assert ("top" in first, "error" in first, "cam" in first) == (True, True, False)
    assert ("error" in second, "cam" in second) == (False, True)


@pytest.mark.parametrize("stem", ["x" * 250, "日" * 83])
def test_a_map_of_an_image_with_a_long_name_is_written(
    picture: Path, toy_server: TritonServer, tmp_path: Path, stem: str
) -> None:
    image = picture.rename(picture.with_name(f"{stem}.png"))
    maps = tmp_path / "maps"
    result = run("classify", image, "--model", "toy", "--url", toy_server.grpc_url, "--cam-dir", maps)
    assert result.returncode == 0, result.stderr
    assert len(list(maps.glob("*.png"))) == 1


def test_json_carries_the_identifier_of_a_class_that_has_one(picture: Path, tmp_path: Path) -> None:
    labels = [f"n0{index}\tname {index}" if index else "plain" for index in range(4)]
    publish(write_toy_bundle(tmp_path / "bundle", labels=labels), tmp_path / "repository")
    with TritonServer(tmp_path / "repository") as server:
        result = run("classify", picture, "--model", "toy", "--url", server.grpc_url, "--json")
    (answer,) = json.loads(result.stdout)
    told = {(one["index"], one["label"], one.get("identifier")) for one in answer["top"]}
    assert told == {(0, "plain", None), *((index, f"name {index}", f"n0{index}") for index in range(1, 4))}


@pytest.mark.parametrize("command", ["classify", "score"])
def test_warnings_of_the_image_library_stay_silent(
    picture: Path, toy_server: TritonServer, tmp_path: Path, command: str
) -> None:
    see_through = picture.with_name("palette.png")
    with Image.open(picture) as image:
        image.quantize(16).save(see_through, transparency=bytes(range(16)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Image.open(see_through).convert("RGB")
    assert caught
    options = ("--output", tmp_path / "table.csv") if command == "score" else ()
    result = run(command, see_through, "--model", "toy", "--url", toy_server.grpc_url, *options)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_model_that_is_not_loaded_is_named(picture: Path, toy_server: TritonServer) -> None:
    result = run("classify", picture, "--model", "missing", "--url", toy_server.grpc_url)
    assert result.returncode == 1
    assert "'missing'" in result.stderr
    assert "hint: " in result.stderr


def test_score_writes_one_row_each(picture: Path, toy_server: TritonServer, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    result = run("score", picture.parent, picture, "--model", "toy", "--url", toy_server.grpc_url, "--output", table)
    assert result.returncode == 0, result.stderr
    assert "2 images" in result.stdout
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == [str(picture), str(picture)]
    assert [row["error"] for row in rows] == ["", ""]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_score_with_a_bad_image_ends_with_3_and_gives_it_a_row(
    picture: Path, toy_server: TritonServer, tmp_path: Path, ending: str
) -> None:
    picture.with_name("bad.png").write_bytes(b"no image")
    table = tmp_path / f"table.{ending}"
    url = toy_server.grpc_url
    result = run("score", picture.parent, "--model", "toy", "--url", url, "--output", table, "--json")
    assert result.returncode == 3
    summary = json.loads(result.stdout)
    assert (summary["rows"], summary["errors"], summary["output"]) == (2, 1, str(table))
    assert "1 of 2 rows" in result.stderr
    assert table.exists()


def test_score_without_images_is_wrong_usage(toy_server: TritonServer, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    table = tmp_path / "table.csv"
    result = run("score", tmp_path / "empty", "--model", "toy", "--url", toy_server.grpc_url, "--output", table)
    assert result.returncode == 2
    assert not table.exists()


def test_score_of_bad_images_alone_ends_with_1(toy_server: TritonServer, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    table = tmp_path / "table.csv"
    result = run("score", tmp_path / "bad.png", "--model", "toy", "--url", toy_server.grpc_url, "--output", table)
    assert result.returncode == 1
    assert "1 of 1 rows" in result.stderr


def test_a_misspelt_input_leaves_the_table_of_an_earlier_run(
    picture: Path, toy_server: TritonServer, tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    table.write_text("old")
    misspelt = picture.with_name("cta.png")
    result = run("score", picture, misspelt, "--model", "toy", "--url", toy_server.grpc_url, "--output", table)
    assert result.returncode == 2
    assert str(misspelt) in result.stderr
    assert table.read_text() == "old"


def test_score_has_no_columns_for_classes_that_the_model_lacks(
    picture: Path, toy_server: TritonServer, tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    url = toy_server.grpc_url
    result = run("score", picture, "--model", "toy", "--url", url, "--output", table, "--top", "900")
    assert result.returncode == 0, result.stderr
    assert "class_4" in table.read_text()
    assert "class_5" not in table.read_text()
