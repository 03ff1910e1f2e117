"""The files that an export writes, and the options that it refuses."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from support.networks import enliven, small_network

from camserve.bundle import Bundle, load_bundle
from camserve.contract import PRESETS, ModelContract
from camserve.errors import BundleError, ExportError, HeadError, UsageError
from camserve.export import export_model

pytestmark = pytest.mark.slow

IMAGES = np.random.default_rng(5).uniform(0, 1, (5, 16, 16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return enliven(small_network("average"), PRESETS["unit"])


@pytest.fixture(scope="module")
def bundle(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("export") / "bundle"
    return export_model(
        model, out, preprocessing="unit", resize="nearest", labels=list("abcdef"), cam_top_k=3, cam_all=True
    )


def test_bundle_contains_the_files_of_its_manifest(bundle: Bundle) -> None:
    names = {path.name for path in bundle.path.iterdir()}
    assert names == {
        "contract.json",
        "golden.npz",
        "labels.txt",
        "manifest.json",
        "model.onnx",
        "report.html",
        "report.json",
        "saved_model",
    }
    assert load_bundle(bundle.path) == bundle


def test_keras_computes_without_tf32_during_an_export(model: keras.Model, tmp_path: Path) -> None:
    permitted = tf.config.experimental.tensor_float_32_execution_enabled
    assert permitted()  # TensorFlow's default, for which a GPU multiplies in TF32
    found: list[bool] = []
    export_model(
        model,
        tmp_path / "bundle",
        preprocessing="unit",
        resize="nearest",
        formats=["onnx"],
        progress=lambda phase: found.append(permitted()) if "Keras" in phase else None,
    )
    assert found == [False]
    assert permitted()


def test_changed_bundle_is_detected(model: keras.Model, tmp_path: Path) -> None:
    bundle = export_model(model, tmp_path / "bundle", preprocessing="unit", resize="nearest", formats=["onnx"])
    with (bundle.path / "labels.txt").open("a") as stream:
        stream.write("one more\n")
    with pytest.raises(BundleError, match=r"labels\.txt was changed"):
        load_bundle(bundle.path)


def test_tensors_equal_those_of_the_contract(bundle: Bundle) -> None:
    contract = bundle.contract
    shapes = {output.name: (output.dtype, output.shape) for output in contract.outputs}
    assert contract.input.model_dump() == {"name": "image", "dtype": "FP32", "shape": (16, 16, 3)}
    assert shapes == {
        "probabilities": ("FP32", (6,)),
        "logits": ("FP32", (6,)),
        "cam": ("FP32", (3, 8, 8)),
        "cam_class": ("INT32", (3,)),
        "cam_all": ("FP32", (6, 8, 8)),
    }
    session = onnxruntime.InferenceSession(str(bundle.onnx_path))
    found = {output.name: tuple(output.shape[1:]) for output in session.get_outputs()}
    assert found == {name: shape for name, (_, shape) in shapes.items()}
    assert [entry.shape[0] for entry in (*session.get_inputs(), *session.get_outputs())] == ["batch"] * 6


def test_both_formats_give_the_answers_of_keras(model: keras.Model, bundle: Bundle) -> None:
    expected = model(IMAGES, training=False)
    session = onnxruntime.InferenceSession(str(bundle.onnx_path))
    np.testing.assert_allclose(session.run(["probabilities"], {"image": IMAGES})[0], expected, atol=1e-5)
    serve = tf.saved_model.load(str(bundle.saved_model_path)).signatures["serving_default"]
    np.testing.assert_allclose(serve(image=tf.constant(IMAGES))["probabilities"], expected, atol=1e-5)


def test_onnx_file_contains_its_contract(bundle: Bundle) -> None:
    graph = onnx.load(str(bundle.onnx_path))
    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    assert ModelContract.from_json(metadata["camserve.contract"]) == bundle.contract
    provenance = json.loads(metadata["camserve.provenance"])
    assert provenance["source"] == "a model in memory"
    assert provenance["weights_sha256"] == bundle.report["source"]["weights_sha256"]
    assert provenance["packages"]["tensorflow"] == tf.__version__
    assert (graph.ir_version, [entry.version for entry in graph.opset_import]) == (8, [17])
    assert {"BatchNormalization", "Dropout"}.isdisjoint(node.op_type for node in graph.graph.node)


def test_report_describes_folding_and_graph(bundle: Bundle) -> None:
    report = json.loads((bundle.path / "report.json").read_text())
    assert report["folding"]["folded"] == [
        {"batchnorm": "bn1", "into": "conv1"},
        {"batchnorm": "bn2", "into": "conv2"},
    ]
    assert report["graph"]["operators"]["Conv"] == 2
    page = (bundle.path / "report.html").read_text()
    assert "parity passed" in page
    assert "conv2" in page


def test_export_without_maps_has_no_map_outputs(model: keras.Model, tmp_path: Path) -> None:
    bundle = export_model(
        model, tmp_path / "bundle", preprocessing="unit", resize="nearest", cam=False, formats=["onnx"]
    )
    assert bundle.contract.cam is None
    assert [output.name for output in bundle.contract.outputs] == ["probabilities", "logits"]
    assert bundle.saved_model_path is None


def test_previous_bundle_is_replaced(model: keras.Model, tmp_path: Path) -> None:
    for name in ("first", "second"):
        export_model(model, tmp_path / "bundle", name=name, preprocessing="unit", resize="nearest", formats=["onnx"])
    assert load_bundle(tmp_path / "bundle").contract.name == "second"
    assert list(tmp_path.iterdir()) == [tmp_path / "bundle"]


def test_float64_model_is_measured_against_float64(tmp_path: Path) -> None:
    keras.config.set_dtype_policy("float64")
    try:
        model = enliven(small_network("average"), PRESETS["unit"])
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("conv1").kernel.dtype == "float64"
    bundle = export_model(model, tmp_path / "bundle", preprocessing="unit", resize="nearest")
    assert bundle.report["source"]["dtype"] == "float64"
    assert "float64" in bundle.report["warnings"][0]


def error_of(model: keras.Model, out: Path, kind: type[ExportError | UsageError] = UsageError, **options: Any) -> str:
    """Return the message of an export that fails and changes no file."""
    before = sorted(out.parent.rglob("*"))
    with pytest.raises(kind) as refusal:
        export_model(model, out, **{"preprocessing": "unit", "resize": "nearest", **options})
    assert sorted(out.parent.rglob("*")) == before
    assert refusal.value.hint, "every error has a hint"
    return refusal.value.message


def test_invalid_options_are_refused(model: keras.Model, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    assert "the preprocessing of a model in memory is unknown" in error_of(model, out, preprocessing=None)
    assert "unknown preprocessing 'vgg'" in error_of(model, out, preprocessing="vgg")
    assert "unknown format 'caffe'" in error_of(model, out, formats=["caffe"])
    assert "cam_top_k must be at least 1, got 0" in error_of(model, out, cam_top_k=0)
    assert "invalid model name" in error_of(model, out, name="a b")
    assert "2 labels in the list for 6 classes" in error_of(model, out, labels=["a", "b"])


def test_invalid_labels_are_refused(model: keras.Model, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("one\ntwo\n")
    assert "labels.txt for 6 classes" in error_of(model, tmp_path / "bundle", labels=labels)
    labels.write_text("one\n\nthree\nfour\nfive\nsix\n")
    assert "line 2 of" in error_of(model, tmp_path / "bundle", labels=labels)
    labels.write_bytes(b"\xff\xfe\n")
    assert "labels.txt" in error_of(model, tmp_path / "bundle", labels=labels)
    assert "missing.txt" in error_of(model, tmp_path / "bundle", labels=tmp_path / "missing.txt")


def test_gray_model_refuses_preprocessing_by_channel(tmp_path: Path) -> None:
    gray = keras.Sequential(
        [keras.layers.Input((8, 8, 1)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
    )
    assert "differs between color channels" in error_of(gray, tmp_path / "bundle", preprocessing="caffe")
    four = keras.Sequential([keras.layers.Input((8, 8, 4)), keras.layers.Flatten(), keras.layers.Dense(2)])
    assert "4 channels" in error_of(four, tmp_path / "bundle")


def test_other_files_at_the_destination_are_kept(model: keras.Model, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    assert "contains files other than an unchanged bundle" in error_of(model, tmp_path / "photos")
    (tmp_path / "file").write_text("mine")
    assert "not a folder" in error_of(model, tmp_path / "file")
    assert "cannot write the bundle" in error_of(model, tmp_path / "file" / "bundle", ExportError)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission_is_named(model: keras.Model, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert "Permission denied" in error_of(model, tmp_path / "bundle", ExportError)
    finally:
        tmp_path.chmod(0o700)


def test_head_without_derivative_writes_nothing(tmp_path: Path) -> None:
    deep = keras.Sequential(
        [
            keras.layers.Input((8, 8, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(4, "sparsemax", name="hidden"),
            keras.layers.Dense(2),
        ]
    )
    with pytest.raises(HeadError, match="'hidden'"):
        export_model(deep, tmp_path / "bundle", preprocessing="unit", resize="nearest")
    assert list(tmp_path.iterdir()) == []
