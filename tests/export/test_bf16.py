"""bf16: the ONNX file of fp32, which is measured as OpenVINO computes it, and refused where that changes answers."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from keras import layers
from support.bf16 import NO_BF16, has_bf16, needs_bf16
from support.networks import enliven, small_network
from support.original_pipelines import original_tensor, write_expected, write_photos

from camserve import openvino_runtime
from camserve.bundle import Bundle
from camserve.contract import PRESETS
from camserve.errors import ConversionError, ParityError, UsageError
from camserve.export import Tolerances, export_model
from camserve.export.formats.writing import open_format
from camserve.golden import compare, read_golden, tolerance_of
from camserve.golden_images import read_golden_images
from camserve.serving import publish

pytestmark = pytest.mark.slow

UNIT: dict[str, Any] = {"preprocessing": "unit", "resize": "nearest"}
TIES = Tolerances(top1_disagreement=1)
"""A random network tells some images apart by less than the rounding of bf16."""


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    return enliven(small_network("global-average"), PRESETS["unit"])


@pytest.fixture(scope="module")
def bundle(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    if not has_bf16():
        pytest.skip(NO_BF16)
    return export_model(model, tmp_path_factory.mktemp("bf16") / "bundle", precision="bf16", tolerances=TIES, **UNIT)


def metrics_of(bundle: Bundle, format_name: str) -> dict[str, dict[str, Any]]:
    return {row["figure"]: row for row in bundle.report["parity"] if row["format"] == format_name}


def without_metadata(path: Path | None) -> bytes:
    graph = onnx.load(path)
    del graph.metadata_props[:]
    return bytes(graph.SerializeToString(deterministic=True))


def test_the_file_is_that_of_fp32(bundle: Bundle, model: keras.Model, tmp_path: Path) -> None:
    float32 = export_model(model, tmp_path / "float32", formats="onnx", **UNIT)
    assert without_metadata(bundle.onnx_path) == without_metadata(float32.onnx_path)


def test_report_and_provenance_state_bf16(bundle: Bundle) -> None:
    (provenance,) = (
        json.loads(entry.value)
        for entry in onnx.load(bundle.onnx_path).metadata_props
        if entry.key == "camserve.provenance"
    )
    assert bundle.report["precision"] == provenance["precision"] == "bf16"
    assert version("openvino") in bundle.report["packages"]["openvino"]
    page = (bundle.path / "report.html").read_text()
    assert "OpenVINO computes it in bf16" in page
    assert "ONNX Runtime on the first 12" in page


def test_each_file_is_measured_where_and_as_it_runs(bundle: Bundle) -> None:
    # OpenVINO on all images with the tolerances of bf16; ONNX Runtime and SavedModel, which are float32, with theirs.
    measured, defaults = metrics_of(bundle, "openvino"), Tolerances()
    assert {name: measured[name]["bound"] for name in ("logits", "probabilities", "cam_identity")} == {
        "logits": defaults.bf16_logits,
        "probabilities": defaults.bf16_probabilities,
        "cam_identity": defaults.bf16_cam_identity,
    }
    assert {row["batch"] for row in measured.values()} == {64}
    assert 1e-4 < measured["logits"]["value"] < 0.1
    for format_name in ("onnx", "savedmodel"):
        exact = metrics_of(bundle, format_name)
        assert exact["logits"]["value"] < 1e-5
        assert exact["logits"]["bound"] < 1e-3


def test_golden_answers_are_those_of_bf16(bundle: Bundle) -> None:
    assert bundle.golden_path is not None
    golden, contract = read_golden(bundle.golden_path, bundle.contract), bundle.contract
    bf16 = dict(open_format(bundle.path, "openvino")(golden.image(contract)))
    float32 = dict(open_format(bundle.path, "onnx")(golden.image(contract)))
    assert compare(golden, contract, bf16, tolerance=1e-6) == ()
    assert 1e-3 < golden.rounding < 0.2
    assert compare(replace(golden, rounding=0.0), contract, float32, tolerance=1e-3)
    assert compare(golden, contract, float32, tolerance=tolerance_of(bundle.report["precision"])) == ()
    assert compare(golden, contract, {**bf16, "cam": bf16["cam"] * 1.3}, tolerance=tolerance_of("bf16"))


def cancelling_network() -> keras.Model:
    """Build a network whose features are nearly 64 and whose logits are their differences, which bf16 rounds away."""
    image = layers.Input((16, 16, 3))
    convolution = layers.Conv2D(8, 3, padding="same")
    scores = layers.Dense(4, activation="softmax")
    pooled = layers.GlobalAveragePooling2D()(layers.ReLU()(convolution(image)))
    network = keras.Model(image, scores(pooled))
    convolution.bias.assign(np.full(8, 64, np.float32))
    scores.kernel.assign(scores.kernel - np.mean(scores.kernel, axis=0))
    return network


@needs_bf16
def test_a_network_that_bf16_changes_is_refused(tmp_path: Path) -> None:
    network = cancelling_network()
    for precision in ("fp32", "fp16"):
        export_model(network, tmp_path / "bundle", precision=precision, formats="onnx", **UNIT)
    with pytest.raises(ParityError, match=r"logits of openvino, batch 64: 0\.\d+ > 0\.1;") as raised:
        export_model(network, tmp_path / "bf16", precision="bf16", formats="onnx", **UNIT)
    assert "onnx" not in raised.value.message
    assert str(raised.value.hint).startswith("Choose --precision fp32, or int8 with calibration images: bf16")
    assert "--bound bf16_logits=" in str(raised.value.hint)
    assert not (tmp_path / "bf16").exists()


@needs_bf16
def test_gradient_maps_and_pixels_in_the_graph_pass_in_bf16(tmp_path: Path) -> None:
    image = layers.Input((16, 16, 3))
    features = layers.Conv2D(8, 3, strides=2, activation="relu")(image)
    hidden = layers.Dense(8, "swish")(layers.GlobalAveragePooling2D()(features))
    network = enliven(keras.Model(image, layers.Dense(4, "softmax")(hidden)), PRESETS["unit"])
    bundle = export_model(
        network, tmp_path / "bundle", precision="bf16", formats="onnx", input_dtype="uint8", tolerances=TIES, **UNIT
    )
    assert bundle.contract.cam is not None
    assert bundle.contract.cam.kind == "gradient"
    assert metrics_of(bundle, "openvino")["cam_distance"]["value"] < 1e-3


@needs_bf16
def test_expected_answers_have_the_tolerance_of_bf16_and_are_stored_with_it(model: keras.Model, tmp_path: Path) -> None:
    paths = write_photos(tmp_path, 4, ".png")
    images = np.stack([original_tensor(path, "unit", "tf-bilinear", "stretch", (16, 16)) for path in paths])
    expected = write_expected(tmp_path / "expected.csv", paths, model.predict(images, verbose=0))
    bundle = export_model(
        model, tmp_path / "bundle", expect=expected, formats="onnx", precision="bf16", tolerances=TIES
    )
    end_to_end = {name: metrics_of(bundle, name)["end_to_end"] for name in ("onnx", "openvino")}
    assert end_to_end["onnx"]["bound"] == Tolerances().end_to_end
    assert end_to_end["openvino"]["bound"] == Tolerances().bf16_probabilities
    assert end_to_end["onnx"]["value"] < end_to_end["openvino"]["value"]
    stored = read_golden_images(bundle.path / "golden_images.npz", bundle.contract)
    assert stored.tolerance == Tolerances().bf16_probabilities


@pytest.mark.parametrize(
    ("found", "message", "hint"),
    [
        (None, "openvino, which --precision bf16 requires, cannot be imported", "pip install 'camserve[openvino]'"),
        (("FP32", "INT8"), "--precision bf16 requires a processor that computes in bf16", "--precision int8"),
    ],
)
def test_bf16_is_refused_before_anything_is_loaded(
    found: tuple[str, ...] | None, message: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if found is None:
        monkeypatch.setattr(openvino_runtime, "find_spec", lambda name: None)
    else:
        monkeypatch.setattr(openvino_runtime, "find_spec", lambda name: object())
        monkeypatch.setattr(openvino_runtime, "capabilities", lambda purpose: found)
    phases: list[str] = []
    with pytest.raises(UsageError, match=message) as raised:
        export_model("resnet-mini", tmp_path / "bundle", precision="bf16", weights="none", progress=phases.append)
    assert hint in str(raised.value.hint)
    assert phases == []


@needs_bf16
def test_a_file_that_openvino_cannot_load_is_an_error_of_the_conversion(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no ONNX file")
    with pytest.raises(ConversionError, match=r"OpenVINO cannot load model\.onnx: Unable to read the model") as raised:
        open_format(tmp_path, "openvino")
    assert raised.value.hint == "Choose another precision: --precision fp32"


def test_bf16_requires_an_onnx_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--precision bf16 requires the format onnx; a SavedModel is always float32"):
        export_model("resnet-mini", tmp_path / "bundle", precision="bf16", formats="savedmodel")


def test_it_is_published_for_openvino_which_gives_the_recorded_answers(bundle: Bundle, tmp_path: Path) -> None:
    publication = publish(bundle, tmp_path / "repository")
    assert (publication.backend, publication.warnings) == ("openvino", ())
