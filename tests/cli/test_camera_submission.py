"""`camserve score --format camera`: the submission of the camera identification competition."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import call
from support.disposable_server import DisposableServer
from support.toy import expected_outputs, write_toy_bundle

from camserve.bundle import Bundle
from camserve.clients import Classifier, Crops, score, write_camera_submission
from camserve.errors import UsageError
from camserve.images.crops import crop_image
from camserve.images.preprocess import to_tensor
from camserve.serving import TritonServer, publish

pytestmark = pytest.mark.slow

CAMERAS = ["HTC_1_M7", "Motorola_X", "iPhone-4s", "iPhone_6"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_toy_bundle(tmp_path_factory.mktemp("camera") / "bundle", name="camera", labels=CAMERAS, seed=11)


@pytest.fixture(scope="module")
def server(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository = tmp_path_factory.mktemp("camera") / "repository"
    publish(bundle, repository)
    with DisposableServer(repository) as started:
        yield started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of twelve images of 64 x 64 pixels."""
    path, random = tmp_path / "test", np.random.default_rng(7)
    path.mkdir()
    for number in range(12):
        color = random.integers(1, 256, 3)
        pixels = random.integers(0, 256, (64, 64, 3)) * color // 255
        Image.fromarray(pixels.astype(np.uint8)).save(path / f"img_{number:02}_unalt.png")
    return path


def submission_of_a_loop(bundle: Bundle, folder: Path, path: Path) -> None:
    """Write what a loop over the images writes with the same crops: the class with the highest value in any crop."""
    lines = ["fname,camera"]
    for image in sorted(folder.iterdir()):
        with Image.open(image) as opened:
            crops = crop_image(opened, bundle.contract, Crops(count=10))
        batch = np.stack([to_tensor(crop, bundle.contract) for crop in crops])
        predictions = expected_outputs(bundle, batch)["probabilities"]
        lines.append(f"{image.name},{CAMERAS[np.argmax(predictions) % len(CAMERAS)].replace('_', '-')}")
    np.savetxt(path, np.asarray(lines), fmt="%s")


def test_a_submission_equals_that_of_a_loop_with_the_same_crops(
    bundle: Bundle, server: TritonServer, folder: Path, tmp_path: Path
) -> None:
    expected, written = tmp_path / "expected.csv", tmp_path / "submission.csv"
    submission_of_a_loop(bundle, folder, expected)
    cameras = [line.split(",")[1] for line in expected.read_text().splitlines()[1:]]
    assert set(cameras) == {"HTC-1-M7", "iPhone-6"}
    where = ("--model", "camera", "--url", server.grpc_url, "--crops", "10", "--format", "camera")
    result = call("score", folder, *where, "--output", written)
    assert result.returncode == 0, result.stderr
    assert written.read_bytes() == expected.read_bytes()
    with Classifier(server.grpc_url, "camera") as classifier:
        whole = [row.top[0].label.replace("_", "-") for row in score(classifier, sorted(folder.iterdir()))]
    assert whole != cameras  # the crops matter


def test_an_image_with_an_error_is_named_and_its_camera_is_empty(
    server: TritonServer, folder: Path, tmp_path: Path
) -> None:
    bad = folder / "a, \x1b.png"
    bad.write_bytes(b"no image")
    where = ("--model", "camera", "--url", server.grpc_url, "--format", "camera", "--json")
    result = call("score", folder, *where, "--output", tmp_path / "submission.csv")
    assert result.returncode == 3
    assert json.loads(result.stdout)["errors"] == 1
    assert f"warning: {folder}/a, \\x1b.png is not an image" in result.stderr
    assert "warning: 1 of 13 rows contains an error; the camera is empty there" in result.stderr
    assert (tmp_path / "submission.csv").read_text().splitlines()[:2] == ["fname,camera", '"a, \x1b.png",']


def test_files_of_one_name_are_refused_before_any_is_scored(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "img_03_unalt.png"
    other.parent.mkdir()
    other.write_bytes(b"never read")
    output = tmp_path / "submission.csv"
    result = call(
        "score", folder, other, "--model", "camera", "--url", "127.0.0.1:9", "--format", "camera", "--output", output
    )
    assert result.returncode == 2
    assert f"{folder / other.name} and {other} have one name" in result.stderr


def test_files_of_one_name_are_refused_in_python(server: TritonServer, folder: Path, tmp_path: Path) -> None:
    path = folder / "img_03_unalt.png"
    with Classifier(server.grpc_url, "camera") as classifier, pytest.raises(UsageError, match="have one name"):
        write_camera_submission(tmp_path / "submission.csv", score(classifier, [path, path]))
    assert not (tmp_path / "submission.csv").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--format", "kaggle"), "--format must be one of table, camera, got 'kaggle'"),
        (("--format", "camera", "--top", "3"), "--top does not apply to --format camera"),
        (("--format", "camera", "--all-probabilities"), "--all-probabilities does not apply to --format camera"),
        (("--format", "camera", "--spreadsheet-safe"), "--spreadsheet-safe does not apply to --format camera"),
    ],
)
def test_options_that_do_not_apply_are_refused(
    folder: Path, tmp_path: Path, options: tuple[str, ...], expected: str
) -> None:
    result = call("score", folder, "--model", "camera", "--output", tmp_path / "submission.csv", *options)
    assert result.returncode == 2
    assert expected in result.stderr


def test_a_submission_is_a_csv_file(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "submission.parquet"
    result = call("score", folder, "--model", "camera", "--output", output, "--format", "camera")
    assert result.returncode == 2
    assert "submission.parquet must be .csv for a camera submission" in result.stderr
