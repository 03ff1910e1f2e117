"""Unusual models: each exports exactly or is refused with a specific error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from support.odd_layers import OwnCall, softmax
from support.odd_models import EXACT, GRADIENT, WITHOUT_MAP, classifier, dense

from camserve.errors import CamserveError, HeadError, ParityError, SourceError, UsageError
from camserve.export import export_model

pytestmark = pytest.mark.slow


def own_call() -> keras.Model:
    model = classifier(dense)
    return OwnCall(model.input, model.output)


def backbone_in_training_mode() -> keras.Model:
    image = layers.Input((8, 8, 3))
    backbone = keras.Sequential([layers.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.BatchNormalization()])
    return keras.Model(image, dense(backbone(image, training=True)), name="trained")


def dropout_in_training_mode() -> keras.Model:
    return classifier(lambda x: dense(layers.Dropout(0.5)(x, training=True)))


def quantized_by_keras() -> keras.Model:
    model = classifier(dense)
    model.quantize("int8")
    return model


def without_get_config() -> keras.Model:
    class Fixed(layers.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="fixed", dtype="float16")

        def call(self, x: Any) -> Any:
            return x

    return classifier(dense, Fixed())


class Subclassed(keras.Model):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(name="own")
        self.dense = layers.Dense(3)

    def call(self, image: Any) -> Any:
        return self.dense(keras.ops.mean(image, (1, 2)))


def subclassed() -> keras.Model:
    model = Subclassed()
    model(np.zeros((1, 8, 8, 3), np.float32))
    return model


@pytest.mark.parametrize("name", EXACT)
def test_model_exports_exactly(name: str, tmp_path: Path) -> None:
    bundle = export_model(EXACT[name](), tmp_path / "bundle", preprocessing="unit", resize="nearest", formats="onnx")
    assert all(metric["passed"] for metric in bundle.report["parity"])
    assert {"reading", "cam_identity"} <= {metric["figure"] for metric in bundle.report["parity"]}
    assert bundle.report["reference"]["obstacle"] is None or name == "a subclassed backbone"
    assert not any("training=True" in warning for warning in bundle.report["warnings"])


@pytest.mark.parametrize("name", GRADIENT)
def test_model_exports_with_gradient_maps(name: str, tmp_path: Path) -> None:
    bundle = export_model(GRADIENT[name](), tmp_path / "new", preprocessing="unit", resize="nearest", formats="onnx")
    assert all(metric["passed"] for metric in bundle.report["parity"])
    assert bundle.contract.cam is not None
    assert bundle.contract.cam.method == "gradient"


@pytest.mark.parametrize("name", WITHOUT_MAP)
def test_model_exports_exactly_without_maps(name: str, tmp_path: Path) -> None:
    make, message = WITHOUT_MAP[name]
    model = make()
    with pytest.raises(HeadError, match=message):
        export_model(model, tmp_path / "bundle", preprocessing="unit", resize="nearest", formats="onnx")
    bundle = export_model(model, tmp_path / "bundle", preprocessing="unit", resize="nearest", formats="onnx", cam=False)
    assert all(metric["passed"] for metric in bundle.report["parity"])
    assert bundle.contract.cam is None


def test_model_with_uint8_input_exports_exactly(tmp_path: Path) -> None:
    model = classifier(dense, layers.Rescaling(1 / 255.0), dtype="uint8")
    bundle = export_model(model, tmp_path / "bundle", preprocessing="raw-rgb", resize="nearest", formats="onnx")
    assert all(metric["passed"] for metric in bundle.report["parity"])


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("deeply nested models", ".h5"),
        ("deeply nested models", ".keras"),
        ("mixed precision, adapted", ".h5"),
        ("mixed precision, adapted", ".keras"),
        ("layers called twice", ".h5"),
        ("a registered layer", ".keras"),
        ("operators", ".keras"),
    ],
)
def test_saved_model_exports_exactly(name: str, suffix: str, tmp_path: Path) -> None:
    EXACT[name]().save(tmp_path / f"model{suffix}")
    bundle = export_model(
        tmp_path / f"model{suffix}", tmp_path / "bundle", preprocessing="unit", resize="nearest", formats="onnx"
    )
    assert all(metric["passed"] for metric in bundle.report["parity"])


def test_keras_2_hdf5_file_exports_exactly(tmp_path: Path) -> None:
    import tf_keras

    old = tf_keras.layers
    inner = tf_keras.Sequential([old.Input((8, 8, 3)), old.Conv2D(4, 3), old.BatchNormalization(), old.ReLU()])
    image = old.Input((8, 8, 3))
    x = old.GlobalAveragePooling2D()(old.Dropout(0.1)(inner(old.Rescaling(2.0)(image))))
    model = tf_keras.Model(image, old.Dense(3, "softmax")(x))
    model.save(tmp_path / "old.h5")
    bundle = export_model(
        tmp_path / "old.h5", tmp_path / "bundle", preprocessing="unit", resize="nearest", formats="onnx"
    )
    assert all(metric["passed"] for metric in bundle.report["parity"])
    assert len(bundle.report["folding"]["folded"]) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (backbone_in_training_mode, "1 BatchNorm layer called with training=True"),
        (dropout_in_training_mode, "1 dropout or noise layer called with training=True"),
    ],
)
def test_layers_in_training_mode_cause_a_warning(make: Callable[[], keras.Model], message: str, tmp_path: Path) -> None:
    bundle = export_model(make(), tmp_path / "bundle", preprocessing="unit", resize="nearest", formats="onnx")
    (warning,) = bundle.report["warnings"]
    assert message in warning


REFUSED: dict[str, tuple[Callable[[], keras.Model], type[CamserveError], str]] = {
    "a custom function named softmax": (
        lambda: classifier(lambda x: dense(x, activation=softmax)),
        SourceError,
        "softmax \\(custom function\\)",
    ),
    "softmax over the batch": (
        lambda: classifier(lambda x: layers.Softmax(axis=0)(dense(x, activation=None))),
        SourceError,
        "softmax over axis 0",
    ),
    "a different call": (own_call, SourceError, "a subclassed OwnCall"),
    "a head without Flatten": (
        lambda: classifier(lambda x: layers.Conv2D(3, 1)(layers.GlobalAveragePooling2D(keepdims=True)(x))),
        SourceError,
        r"\(None, 1, 1, 3\); .* add a keras.layers.Flatten",
    ),
    "log probabilities": (
        lambda: classifier(lambda x: dense(x, activation="log_softmax")),
        SourceError,
        "unsupported activation 'log_softmax'",
    ),
    "subclassed": (subclassed, SourceError, "Wrap it as a functional model"),
    "quantized by Keras": (quantized_by_keras, SourceError, r"'dense\w*' .Dense. is quantized by Keras to int8"),
    "a layer without get_config": (without_get_config, SourceError, "'fixed' .* get_config"),
    "another size at inference": (
        lambda: classifier(dense, layers.RandomCrop(6, 6)),
        SourceError,
        "returns 8x8 pixels at inference but declares 6x6",
    ),
    "a resize without an ONNX equivalent": (
        lambda: classifier(dense, layers.Resizing(13, 5, interpolation="area")),
        ParityError,
        "logits of onnx",
    ),
    "uint8 pixels": (
        lambda: classifier(dense, layers.Rescaling(1 / 255.0), dtype="uint8"),
        UsageError,
        "takes uint8 pixels",
    ),
    "a Sequential that is not built": (
        lambda: keras.Sequential([layers.Flatten(), layers.Dense(3)]),
        SourceError,
        "is not built",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_model_is_refused(name: str, tmp_path: Path) -> None:
    make, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        export_model(make(), tmp_path / "new" / "bundle", preprocessing="unit", resize="nearest")
    assert list(tmp_path.iterdir()) == []


def test_export_does_not_change_the_model(tmp_path: Path) -> None:
    model = classifier(dense)
    nodes = [len(layer._inbound_nodes) for layer in model.layers]
    weights = model.get_weights()
    export_model(model, tmp_path / "bundle", preprocessing="unit", resize="nearest", formats="onnx")
    assert [len(layer._inbound_nodes) for layer in model.layers] == nodes
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), weights, strict=True))
