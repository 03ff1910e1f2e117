"""Arithmetic on pixels inside a network is found by its effect, where the preprocessing repeats it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from keras import layers

from camserve.contract import PRESETS
from camserve.errors import UsageError
from camserve.export import export_model
from camserve.export.graph.pixel_arithmetic import repeated_arithmetic
from camserve.export.graph.trace import trace
from camserve.export.source.load import load_source

SIDE = 12
ARITHMETIC = ("caffe", "tf", "torch", "unit")


def classifier(first: Callable[[Any], Any], library: Any = keras) -> Any:
    image = library.layers.Input((SIDE, SIDE, 3))
    x = library.layers.GlobalAveragePooling2D()(library.layers.Conv2D(4, 3)(first(image)))
    return library.Model(image, library.layers.Dense(3, "softmax")(x))


def normalization(mean: float, variance: float) -> Any:
    return layers.Normalization(mean=[mean] * 3, variance=[variance] * 3, name="inside")


def adapted() -> Any:
    layer = layers.Normalization(name="inside")
    layer.adapt(np.random.default_rng(0).uniform(0, 255, (9, SIDE, SIDE, 3)).astype(np.float32))
    return layer


def nested() -> Any:
    return keras.Sequential([layers.RandomFlip(), layers.Resizing(8, 8), layers.Rescaling(1 / 255, name="inside")])


def found(model: Any, preset: str) -> str | None:
    step = repeated_arithmetic(trace(model), PRESETS[preset])
    return None if step is None else step.name


@pytest.mark.parametrize("preset", ARITHMETIC)
@pytest.mark.parametrize(
    "first",
    [
        lambda: layers.Rescaling(1 / 255, name="inside"),
        lambda: layers.Rescaling(1.0, offset=-128.0, name="inside"),
        lambda: layers.Lambda(lambda x: x / 127.5 - 1, name="inside"),
        lambda: normalization(123.0, 3364.0),
        adapted,
        nested,
    ],
    ids=["rescaling", "offset", "lambda", "normalization", "adapted", "nested"],
)
def test_layer_that_repeats_arithmetic_is_named(first: Callable[[], Any], preset: str) -> None:
    assert found(classifier(first()), preset) == "inside"


@pytest.mark.parametrize("module", ["resnet50", "mobilenet", "densenet"])
def test_preprocess_input_in_the_graph_is_found(module: str) -> None:
    model = classifier(getattr(keras.applications, module).preprocess_input)
    assert all(found(model, preset) for preset in ARITHMETIC)
    assert found(model, "raw-rgb") is None


@pytest.mark.parametrize("module", ["resnet50", "mobilenet"])
def test_preprocess_input_in_a_keras_2_file_is_found(module: str, tmp_path: Path) -> None:
    preprocess = getattr(tf_keras.applications, module).preprocess_input
    classifier(preprocess, tf_keras).save(tmp_path / "model.h5")
    model = load_source(tmp_path / "model.h5").model
    assert found(model, "caffe")
    assert found(model, "raw-bgr") is None


@pytest.mark.parametrize(
    "first",
    [
        layers.Identity,
        lambda: layers.Rescaling(1.0),
        lambda: layers.Rescaling(2.0, offset=-1.0),
        lambda: normalization(0.485, 0.0524),
        lambda: keras.Sequential([layers.Rescaling(255.0), layers.Rescaling(1 / 127.5, offset=-1.0)]),
        lambda: layers.Lambda(lambda x: x[..., ::-1]),
        lambda: layers.ZeroPadding2D(3),
        layers.BatchNormalization,
        lambda: layers.Lambda(tf.image.per_image_standardization),
    ],
    ids=[
        "identity",
        "by one",
        "continued",
        "continued per channel",
        "reversed",
        "flip",
        "padding",
        "batchnorm",
        "per image",
    ],
)
def test_other_layers_at_the_entry_are_accepted(first: Callable[[], Any]) -> None:
    assert found(classifier(first()), "unit") is None


def test_double_preprocessing_is_refused_and_can_be_allowed(tmp_path: Path) -> None:
    model = classifier(layers.Rescaling(1 / 255, name="inside"))
    options: dict[str, Any] = {"preprocessing": "unit", "resize": "nearest", "formats": "onnx"}
    with pytest.raises(UsageError, match=r"layer 'inside' \(Rescaling\).*--preprocess unit") as raised:
        export_model(model, tmp_path / "bundle", **options)
    assert "--preprocess raw-rgb" in str(raised.value.hint)
    report = export_model(model, tmp_path / "bundle", **options, allow_double_preprocessing=True).report
    assert [warning for warning in report["warnings"] if "inside" in warning and "--allow" in warning]
