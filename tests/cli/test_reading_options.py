"""How `camserve classify` and `camserve score` read images: both have the same options."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import call, run

from camserve.clients import Classifier, Crops, DecodeOptions
from camserve.serving import TritonServer

pytestmark = pytest.mark.slow

PIXELS = 30 * 22


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a JPEG of 30 x 22 pixels that was taken with a rotated camera."""
    path = tmp_path_factory.mktemp("photos") / "photo.jpg"
    pixels = np.random.default_rng(1).integers(0, 256, (22, 30, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(path, exif=exif, quality=90)
    return path


@pytest.mark.parametrize(
    ("options", "crops"),
    [("--exif", None), ("--fast-jpeg", None), ("--crops 4", Crops(count=4)), ("--exif --crops 4", Crops(count=4))],
)
def test_score_and_classify_answer_as_the_library_with_the_same_options(
    photo: Path, toy_server: TritonServer, tmp_path: Path, options: str, crops: Crops | None
) -> None:
    if "--fast-jpeg" in options:
        pytest.importorskip("simplejpeg")
    decode_options = DecodeOptions(exif="--exif" in options, fast_jpeg="--fast-jpeg" in options)
    where = ("--model", "toy", "--url", toy_server.grpc_url, *options.split())
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        plain = classifier.classify(photo)
    with Classifier(toy_server.grpc_url, "toy", decode_options=decode_options) as classifier:
        expected = classifier.classify(photo, crops=crops)
    assert expected.top[0].probability != plain.top[0].probability
    (answer,) = json.loads(call("classify", photo, *where, "--json").stdout)
    assert [each["probability"] for each in answer["top"]] == [each.probability for each in expected.top]
    result = call("score", photo, *where, "--output", tmp_path / "table.csv")
    assert result.returncode == 0, result.stderr
    with (tmp_path / "table.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert [float(row[f"probability_{rank}"]) for rank in range(1, 5)] == [each.probability for each in expected.top]


@pytest.mark.parametrize("command", ["classify", "score"])
@pytest.mark.parametrize("option", ["--max-pixels", "--max-bytes"])
def test_limits_are_exact_and_the_hint_names_the_option(
    photo: Path, toy_server: TritonServer, tmp_path: Path, command: str, option: str
) -> None:
    limit = PIXELS if option == "--max-pixels" else photo.stat().st_size
    where: list[str | Path] = [command, photo, "--model", "toy", "--url", toy_server.grpc_url]
    where += ["--output", tmp_path / "table.csv"] if command == "score" else []
    assert call(*where, option, str(limit)).returncode == 0
    refused = call(*where, option, str(limit - 1))
    assert refused.returncode == 1
    shown = (tmp_path / "table.csv").read_text() if command == "score" else refused.stderr
    assert ("30 x 22 pixels, more than 659" if option == "--max-pixels" else f"more than {limit - 1:,} bytes") in shown
    assert f"raise the limit: {option} N" in shown


def test_standard_input_and_its_map_have_the_limit_of_the_option(
    photo: Path, toy_server: TritonServer, tmp_path: Path
) -> None:
    where = ("-", "--model", "toy", "--url", toy_server.grpc_url, "--cam-dir", tmp_path / "maps")
    size = photo.stat().st_size
    result = run("classify", *where, "--max-bytes", str(size), stdin=photo)
    assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "maps").iterdir())) == 1
    result = run("classify", *where, "--max-bytes", str(size - 1), stdin=photo)
    assert result.returncode == 1
    assert f"has more than {size - 1:,} bytes" in result.stderr


@pytest.mark.parametrize("option", ["--max-pixels", "--max-bytes", "--crops"])
def test_a_limit_below_1_is_wrong_usage(photo: Path, tmp_path: Path, option: str) -> None:
    result = call("score", photo, "--model", "toy", "--output", tmp_path / "table.csv", option, "0")
    assert result.returncode == 2
    assert option in result.stderr
