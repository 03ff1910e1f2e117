"""`camserve export`: what it prints, and where."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
from PIL import Image
from support.command_line import UNIT, run
from support.networks import enliven, small_network

from camserve.bundle import load_bundle
from camserve.cli import main
from camserve.cli.export_report import publish_command, worst_metrics
from camserve.contract import PRESETS

pytestmark = pytest.mark.slow


@pytest.mark.slow
def test_export_and_publish_in_one_step(tmp_path: Path) -> None:
    bundle, repository = tmp_path / "bundle", tmp_path / "repository"
    result = run("export", small(tmp_path), *UNIT, "--out", bundle, "--publish", repository, "--json")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["bundle"] == str(bundle)
    assert document["parity"] == load_bundle(bundle).report["parity"]
    assert document["published"]["path"] == str(repository / "small" / "1")
    phases = re.findall(r"^\[ *\d+\.\d s\] (.+)$", result.stderr, re.MULTILINE)
    assert phases[0] == "load TensorFlow"
    assert phases[-1] == "publish"


def test_an_invalid_source_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "model.keras"
    source.write_bytes(b"no model")
    result = run("export", source, *UNIT, "--out", tmp_path / "bundle", "--publish", tmp_path / "repository")
    assert result.returncode == 1
    assert str(source) in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == [source]


def test_the_worst_of_all_batches_is_shown() -> None:
    row = {"format": "onnx", "figure": "cam_identity", "bound": 1e-4, "passed": True}
    parity = [row | {"batch": batch, "value": value} for batch, value in ((1, 1e-7), (3, 4e-6), (8, 2e-7))]
    expected = ("ONNX Runtime", "Map identity", "4e-06", "–", "1e-04", "25× below", "1, 3, 8")
    assert worst_metrics(parity) == [expected]


def test_int8_export_with_uint8_input(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source, images = tmp_path / "small.keras", write_images(tmp_path / "images", 64, (16, 16))
    keras.utils.set_random_seed(0)
    enliven(small_network(), PRESETS["unit"]).save(source)
    options = [*int8(images), "--input", "uint8", *UNIT, "--bound", "top1_disagreement=0.5"]
    code, out, errors = called("export", source, "--out", tmp_path / "bundle", "--json", *options, capfd=capfd)
    assert code == 0, errors
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.report["precision"] == "int8 (cpu)"
    (note,) = json.loads(out)["notes"]
    assert note.startswith("no labels: answers contain class numbers")
    assert f"note: {note}" in errors
    assert bundle.contract.input.dtype == "UINT8"
    tolerances = {row["figure"]: row["bound"] for row in bundle.report["parity"] if row["format"] == "onnx"}
    assert tolerances["top1_disagreement"] == 0.5
    assert tolerances["logits"] == 0.25


def test_custom_layers_are_imported_from_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pets.py").write_text(
        "import keras\n@keras.saving.register_keras_serializable('pets')\nclass Doubled(keras.layers.Layer):\n"
        "    def call(self, x):\n        return 2 * x\n"
    )
    monkeypatch.chdir(tmp_path)
    source = unregistered(tmp_path, package="pets")
    result = run("export", source, "--out", "bundle", *UNIT, "--custom-objects", "pets", "--formats", "onnx")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", ["my bundle", "it's", "$HOME", "plain"])
def test_the_next_command_is_quoted_for_a_shell(name: str) -> None:
    assert shlex.split(publish_command(Path(name))) == ["camserve", "publish", name, "--repository", "model_repository"]


def called(*words: str | Path, capfd: pytest.CaptureFixture[str]) -> tuple[Any, str, str]:
    """Call the command line in this process, and return its exit code, stdout and stderr."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return end.value.code, *capfd.readouterr()


def small(folder: Path, *, hidden: str | None = None) -> Path:
    """Save a classifier of three classes, whose head is linear unless it has a hidden layer with an activation."""
    import keras

    layers = [keras.layers.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.Flatten()]
    layers += [keras.layers.Dense(4, hidden, name="hidden")] if hidden else []
    path = folder / "small.keras"
    keras.Sequential([*layers, keras.layers.Dense(3)]).save(path)
    return path


def labels_with_a_gap(folder: Path) -> Path:
    path = folder / "class_indices.json"
    path.write_text('{"cat": 0, "dog": 2}')
    return path


def labels(folder: Path) -> Path:
    path = folder / "labels.txt"
    path.write_text("one\ntwo\n")
    return path


def other_content(folder: Path) -> Path:
    (folder / "bundle").mkdir()
    (folder / "bundle" / "photo.jpg").touch()
    return folder / "bundle" / "photo.jpg"


def truncated(folder: Path) -> Path:
    path = small(folder).rename(folder / "whole")
    (folder / "part.keras").write_bytes(path.read_bytes()[:-100])
    return folder / "part.keras"


def unregistered(folder: Path, package: str | None = None) -> Path:
    import keras

    class Doubled(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: object) -> object:
            return x

    if package is not None:
        keras.saving.register_keras_serializable(package)(Doubled)
    path = folder / "own.keras"
    keras.Sequential([keras.layers.Input((8, 8, 3)), Doubled(), keras.layers.Flatten(), keras.layers.Dense(3)]).save(
        path
    )
    return path


def write_images(folder: Path, count: int, size: tuple[int, int]) -> Path:
    from camserve.export.gate.samples import sample_images

    folder.mkdir()
    for number, pixels in enumerate(sample_images(count, *size, 3)):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def with_a_broken_image(folder: Path) -> Path:
    (write_images(folder, 12, (8, 8)) / "3.png").write_bytes(b"no image")
    return folder


def int8(images: Path) -> list[str | Path]:
    return ["--precision", "int8", "--calibration", images]


BAD: dict[str, tuple[Callable[[Path], list[str | Path]], int, str]] = {
    "a missing source": (lambda _: ["resnet51"], 1, "neither a recipe nor an existing file"),
    "a truncated model": (lambda folder: [truncated(folder)], 1, "part.keras"),
    "an unregistered layer": (lambda folder: [unregistered(folder)], 1, "'Doubled'"),
    "a head without derivative": (lambda folder: [small(folder, hidden="sparsemax")], 1, "'hidden'"),
    "maps of all classes of a nonlinear head": (
        lambda folder: [small(folder, hidden="relu"), "--cam-all"],
        2,
        "Leave out --cam-all",
    ),
    "weights of another model": (
        lambda folder: ["resnet-mini", "--weights", small(folder)],
        1,
        "cannot load the weights",
    ),
    "too few labels": (
        lambda folder: [small(folder), "--labels", labels(folder)],
        2,
        "2 labels in {folder}/labels.txt for 3 classes",
    ),
    "labels with a gap": (
        lambda folder: [small(folder), "--labels", labels_with_a_gap(folder)],
        2,
        "class 1 has no label in {folder}/class_indices.json, whose class numbers are 0 to 2",
    ),
    "other files in the output folder": (
        lambda folder: [other_content(folder) and small(folder)],
        2,
        "contains files other",
    ),
    "int8 without images": (
        lambda folder: [small(folder), "--precision", "int8"],
        2,
        "int8 requires calibration images",
    ),
    "int8 with too few images": (
        lambda folder: [small(folder), *int8(write_images(folder / "few", 3, (8, 8)))],
        2,
        "has 3 images",
    ),
    "int8 with a broken image": (
        lambda folder: [small(folder), *int8(with_a_broken_image(folder / "broken"))],
        2,
        "broken/3.png is not an image of a supported format",
    ),
    "int8 with an opset too old": (
        lambda folder: [small(folder), *int8(write_images(folder / "many", 9, (8, 8))), "--opset", "12"],
        2,
        "opset 12",
    ),
    "an int8 target without int8": (
        lambda folder: [small(folder), "--int8-target", "tensorrt"],
        2,
        "no effect with --precision fp32",
    ),
    "fp16 without the ONNX format": (
        lambda folder: [small(folder), "--precision", "fp16", "--formats", "savedmodel"],
        2,
        "always float32",
    ),
    "another SHA-256 than expected": (lambda folder: [small(folder), "--sha256", "0" * 64], 1, "SHA-256"),
    "an invalid SHA-256": (lambda folder: [small(folder), "--sha256", "abc"], 2, "abc"),
    "a missing module": (lambda folder: [small(folder), "--custom-objects", "no.such"], 1, "no.such"),
    "a tolerance without a number": (
        lambda folder: [small(folder), "--bound", "logits"],
        2,
        "expected METRIC=NUMBER, got 'logits'",
    ),
    "a tolerance of an unknown metric": (
        lambda folder: [small(folder), "--bound", "speed=3"],
        2,
        "unknown metric 'speed'",
    ),
    "an exceeded tolerance": (lambda folder: [small(folder), "--bound", "logits=0"], 1, "differs from Keras"),
    "an unsupported opset": (lambda folder: [small(folder), "--opset", "7"], 2, "got 7"),
    "a repository that is a file": (
        lambda folder: [small(folder), "--publish", labels(folder)],
        1,
        "labels.txt is not a folder",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_invalid_input_ends_with_its_code_and_changes_nothing(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make, code, expected = BAD[name]
    arguments = [str(argument) for argument in make(tmp_path)]
    preprocess = () if arguments[0].startswith("resnet") else UNIT
    before = sorted(tmp_path.rglob("*"))
    found, out, errors = called("export", *arguments, *preprocess, "--out", tmp_path / "bundle", capfd=capfd)
    assert found == code
    assert expected.format(folder=tmp_path) in errors.replace("\n  ", " ")
    assert "hint: " in errors
    assert "Traceback" not in errors
    assert out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_imagenet_weights_without_network_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))  # nothing is cached there
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    code, _, errors = called("export", "resnet50", "--out", tmp_path / "bundle", capfd=capfd)
    assert code == 1
    assert "ImageNet weights of 'resnet50' cannot be downloaded" in errors
    assert "--weights none" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "bundle").exists()
