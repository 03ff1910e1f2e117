"""The classifiers of `keras.applications`: one small member of each family."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support.networks import enliven

from camserve.bundle import Bundle
from camserve.errors import HeadError, SourceError
from camserve.export import export_model
from camserve.export.source.application_names import check_application_name
from camserve.export.source.applications import application, application_names
from camserve.pixels import normalize

PIXELS = np.random.default_rng(6).integers(0, 256, (2, 5, 7, 3), np.uint8)

GRIDS = {
    "DenseNet121": (32, (1, 1)),
    "EfficientNetB0": (64, (2, 2)),
    "EfficientNetV2B0": (64, (2, 2)),
    "InceptionResNetV2": (75, (1, 1)),
    "InceptionV3": (75, (1, 1)),
    "MobileNet": (64, (2, 2)),
    "MobileNetV2": (64, (2, 2)),
    "NASNetMobile": (32, (1, 1)),
    "ResNet50": (64, (2, 2)),
    "ResNet50V2": (64, (2, 2)),
    "Xception": (71, (3, 3)),
}
NONLINEAR_LAYERS = {
    "ConvNeXtTiny": (32, r"'convnext_tiny_head_layernorm' \(LayerNormalization\)"),
    "MobileNetV3Small": (64, r"'activation\w*' \(Activation\) with activation 'hard_silu'"),
    "VGG16": (32, r"'fc2' \(Dense\) with activation 'relu'"),
}


def preprocess_input(name: str) -> Any:
    """Return Keras's own preprocessing function of a classifier."""
    module = getattr(keras.applications, name).__module__
    return importlib.import_module(module).preprocess_input


@pytest.mark.parametrize("name", application_names())
def test_preprocessing_equals_keras(name: str) -> None:
    expected = preprocess_input(name)(PIXELS.astype(np.float32))
    np.testing.assert_array_equal(normalize(PIXELS, application(name).preprocessing), expected)


def test_names_are_known_without_keras() -> None:
    for name in application_names():
        check_application_name(name)
        check_application_name(name.lower())
    with pytest.raises(SourceError, match="no classifier 'mobilnetv2'") as refused:
        check_application_name("mobilnetv2")
    assert refused.value.hint == "Did you mean 'MobileNetV2'?"


def test_network_with_internal_rescaling_takes_raw_pixels() -> None:
    for name in ("EfficientNetB0", "EfficientNetV2B0", "MobileNetV3Small", "ConvNeXtTiny"):
        preprocessing = application(name).preprocessing
        assert (preprocessing.scale, preprocessing.mean) == ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))


FEWER_BLOCKS: dict[str, tuple[str, dict[str, Any]]] = {
    "ConvNeXtTiny": (
        "ConvNeXt",
        {"depths": [1, 1, 1, 1], "projection_dims": [24, 48, 96, 192], "name": "convnext_tiny"},
    ),
    "DenseNet121": ("DenseNet", {"blocks": [2, 2, 2, 2]}),
    "NASNetMobile": ("NASNet", {"num_blocks": 1, "penultimate_filters": 192, "skip_reduction": False}),
}
"""For families whose smallest member is slow: the function with which Keras builds every member, and its options."""


def small(name: str, size: int) -> keras.Model:
    build: Any = getattr(keras.applications, name)
    if name in FEWER_BLOCKS:
        function, options = FEWER_BLOCKS[name]
        build = partial(getattr(importlib.import_module(build.__module__), function), **options)
    model = build(weights=None, input_shape=(size, size, 3), classes=10)
    return enliven(model, application(name).preprocessing)


def exported(name: str, model: keras.Model, folder: Path, *, cam: bool = True) -> Bundle:
    return export_model(model, folder / "bundle", preprocessing=application(name).preprocessing, cam=cam)


@pytest.mark.slow
@pytest.mark.parametrize("name", GRIDS)
def test_family_with_a_linear_head_exports_with_maps(name: str, tmp_path: Path) -> None:
    size, grid = GRIDS[name]
    bundle = exported(name, small(name, size), tmp_path)
    assert bundle.contract.cam is not None
    assert (bundle.contract.cam.kind, bundle.contract.cam.grid) == ("global-average", grid)
    assert all(metric["passed"] for metric in bundle.report["parity"])
    assert "BatchNormalization" not in bundle.report["graph"]["operators"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NONLINEAR_LAYERS)
def test_family_with_a_nonlinear_head_exports_without_maps(name: str, tmp_path: Path) -> None:
    size, layer = NONLINEAR_LAYERS[name]
    model = small(name, size)
    with pytest.raises(HeadError, match=layer):
        exported(name, model, tmp_path)
    bundle = exported(name, model, tmp_path, cam=False)
    assert bundle.contract.cam is None
    assert all(metric["passed"] for metric in bundle.report["parity"])


def family(name: str) -> str:
    return str(getattr(keras.applications, name).__module__).rstrip("0123456789")


def test_every_family_is_tested() -> None:
    assert {family(name) for name in (*GRIDS, *NONLINEAR_LAYERS)} == {family(name) for name in application_names()}
