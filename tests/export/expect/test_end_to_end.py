"""An export with expected answers is checked from file to answer, and so is its publication."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support.networks import enliven, small_network
from support.original_pipelines import original_tensor, write_expected, write_photos

from camserve.contract import PRESETS
from camserve.errors import ParityError, UsageError
from camserve.export import Tolerances, export_model
from camserve.golden_images import read_golden_images
from camserve.serving import publish


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    return enliven(small_network(), PRESETS["tf"])


@pytest.fixture(scope="module")
def expected(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jpegs")
    paths = write_photos(folder, 6, ".jpg")
    images = np.stack([original_tensor(path, "tf", "tf-bilinear", "stretch", (16, 16)) for path in paths])
    return write_expected(folder / "expected.csv", paths, model.predict(images, verbose=0))


def test_export_gives_the_expected_answers_to_files(model: keras.Model, expected: Path, tmp_path: Path) -> None:
    bundle = export_model(model, tmp_path / "bundle", expect=expected)
    assert bundle.contract.preprocessing.resize == "tf-bilinear"
    rows = [row for row in bundle.report["parity"] if row["figure"] == "end_to_end"]
    assert [(row["format"], row["batch"], row["passed"]) for row in rows] == [
        ("onnx", 6, True),
        ("savedmodel", 6, True),
    ]
    assert 0 < rows[0]["value"] < 0.02  # Pillow decodes JPEG otherwise than TensorFlow
    notes = " ".join(bundle.report["notes"])
    assert "--preprocess tf --resize tf-bilinear reproduces 6 of 6" in notes
    assert "6 of 6 images with expected answers are in the bundle" in notes
    golden = read_golden_images(bundle.path / "golden_images.npz", bundle.contract)
    assert golden.files == tuple((expected.parent / name).read_bytes() for name in golden.names)
    assert publish(bundle, tmp_path / "repository").version == 1


def test_export_with_other_answers_is_refused(model: keras.Model, expected: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"expect": expected, "formats": "onnx", "tolerances": Tolerances(end_to_end=1e-5)}
    with pytest.raises(
        ParityError, match="the export does not give the expected answers to the image files: onnx differs by"
    ) as raised:
        export_model(model, tmp_path / "bundle", **options)
    assert "--bound end_to_end=" in str(raised.value.hint)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("answers", "tolerances", "precision"),
    [
        ("probabilities", Tolerances(end_to_end=5.0), "fp32"),
        ("classes", Tolerances(end_to_end=1.0), "fp32"),
        ("probabilities", Tolerances(lower_probabilities=1.0), "fp16"),
    ],
)
def test_tolerance_that_publishing_would_refuse_is_refused_at_once(
    answers: str, tolerances: Tolerances, precision: Any, model: keras.Model, expected: Path
) -> None:
    if answers == "classes":
        expected = _write_classes(expected, [0] * 6)
    phases: list[str] = []
    with pytest.raises(UsageError, match=r"the tolerance of (end_to_end|lower_probabilities) must be .* below 1, got"):
        export_model(
            model,
            expected.with_name("bundle"),
            expect=expected,
            tolerances=tolerances,
            precision=precision,
            progress=phases.append,
        )
    assert not any("preprocessing" in phase or "write" in phase for phase in phases)
    assert bool(phases) == (answers == "classes")


def test_classes_of_logits_may_differ_by_more_than_one(expected: Path, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = enliven(small_network(), PRESETS["tf"])
    model.layers[-1].activation = keras.activations.linear
    paths = sorted(expected.parent.glob("*.jpg"))
    images = np.stack([original_tensor(path, "tf", "tf-bilinear", "stretch", (16, 16)) for path in paths])
    classes = model.predict(images, verbose=0).argmax(axis=1)
    options: dict[str, Any] = {"formats": "onnx", "preprocessing": "tf", "resize": "tf-bilinear", "fit": "stretch"}
    expected = _write_classes(expected, classes)
    bundle = export_model(model, tmp_path / "bundle", expect=expected, tolerances=Tolerances(end_to_end=2.0), **options)
    assert read_golden_images(bundle.path / "golden_images.npz", bundle.contract).tolerance == 2.0


def _write_classes(expected: Path, classes: Iterable[int]) -> Path:
    paths = sorted(expected.parent.glob("*.jpg"))
    rows = [f"{path.name},{number}" for path, number in zip(paths, classes, strict=True)]
    file = expected.with_name("classes.csv")
    file.write_text("\n".join(["path,class", *rows]) + "\n")
    return file


def test_filter_with_fractions_is_refused_for_uint8_input(model: keras.Model, expected: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--resize tf-bilinear gives pixels with fractions"):
        export_model(model, tmp_path / "bundle", expect=expected, input_dtype="uint8")


def test_lower_precision_is_judged_by_its_own_tolerances(model: keras.Model, expected: Path, tmp_path: Path) -> None:
    bundle = export_model(model, tmp_path / "bundle", expect=expected, formats="onnx", precision="fp16")
    rows = {row["figure"]: row for row in bundle.report["parity"] if row["figure"].startswith("end_to_end")}
    assert rows["end_to_end"]["bound"] == Tolerances().lower_probabilities
    assert rows["end_to_end_class"]["bound"] == Tolerances().top1_disagreement
    assert rows["end_to_end_class"]["value"] == 0
