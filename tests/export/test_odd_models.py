"""Models as users have them: each exports exactly, or is refused for what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from support.odd_layers import OwnCall, softmax
from support.odd_models import EXACT, WITHOUT_MAP, classifier, dense

from camserve.errors import CamserveError, HeadError, ParityError, SourceError, UsageError
from camserve.export import export_model


def own_call() -> keras.Model:
    model = classifier(dense)
    return OwnCall(model.input, model.output)


def trained_backbone() -> keras.Model:
    image = layers.Input((8, 8, 3))
    backbone = keras.Sequential([layers.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.BatchNormalization()])
    return keras.Model(image, dense(backbone(image, training=True)), name="trained")


def lasting_dropout() -> keras.Model:
    return classifier(lambda x: dense(layers.Dropout(0.5)(x, training=True)))


def quantized() -> keras.Model:
    model = classifier(dense)
    model.quantize("int8")
    return model


def unmakeable() -> keras.Model:
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
def test_it_exports_exactly(name: str, tmp_path: Path) -> None:
    bundle = export_model(EXACT[name](), tmp_path / "bundle", preprocessing="unit", formats="onnx")
    assert all(figure["passed"] for figure in bundle.report["parity"])
    assert {"reading", "cam_identity"} <= {figure["figure"] for figure in bundle.report["parity"]}
    assert not any("training=True" in warning for warning in bundle.report["warnings"])


@pytest.mark.parametrize("name", WITHOUT_MAP)
def test_it_exports_exactly_but_for_its_map(name: str, tmp_path: Path) -> None:
    make, said = WITHOUT_MAP[name]
    model = make()
    with pytest.raises(HeadError, match=said):
        export_model(model, tmp_path / "bundle", preprocessing="unit", formats="onnx")
    bundle = export_model(model, tmp_path / "bundle", preprocessing="unit", formats="onnx", cam=False)
    assert all(figure["passed"] for figure in bundle.report["parity"])
    assert bundle.contract.cam is None


def test_a_model_that_takes_whole_numbers_exports_exactly(tmp_path: Path) -> None:
    model = classifier(dense, layers.Rescaling(1 / 255.0), dtype="uint8")
    bundle = export_model(model, tmp_path / "bundle", preprocessing="raw-rgb", formats="onnx")
    assert all(figure["passed"] for figure in bundle.report["parity"])


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("models nested deep", ".h5"),
        ("models nested deep", ".keras"),
        ("mixed precision, adapted", ".h5"),
        ("mixed precision, adapted", ".keras"),
        ("layers called twice", ".h5"),
        ("a registered layer", ".keras"),
        ("operators", ".keras"),
    ],
)
def test_it_exports_exactly_from_a_file(name: str, suffix: str, tmp_path: Path) -> None:
    EXACT[name]().save(tmp_path / f"model{suffix}")
    bundle = export_model(tmp_path / f"model{suffix}", tmp_path / "bundle", preprocessing="unit", formats="onnx")
    assert all(figure["passed"] for figure in bundle.report["parity"])


def test_an_hdf5_file_of_keras_2_exports_exactly(tmp_path: Path) -> None:
    import tf_keras

    old = tf_keras.layers
    inner = tf_keras.Sequential([old.Input((8, 8, 3)), old.Conv2D(4, 3), old.BatchNormalization(), old.ReLU()])
    image = old.Input((8, 8, 3))
    x = old.GlobalAveragePooling2D()(old.Dropout(0.1)(inner(old.Rescaling(2.0)(image))))
    model = tf_keras.Model(image, old.Dense(3, "softmax")(x))
    model.save(tmp_path / "old.h5")
    bundle = export_model(tmp_path / "old.h5", tmp_path / "bundle", preprocessing="unit", formats="onnx")
    assert all(figure["passed"] for figure in bundle.report["parity"])
    assert len(bundle.report["folding"]["folded"]) == 1


@pytest.mark.parametrize(
    ("make", "said"), [(trained_backbone, "1 BatchNorm layers"), (lasting_dropout, "1 dropout or noise layers")]
)
def test_layers_built_for_training_are_warned_of(make: Callable[[], keras.Model], said: str, tmp_path: Path) -> None:
    bundle = export_model(make(), tmp_path / "bundle", preprocessing="unit", formats="onnx")
    (warning,) = bundle.report["warnings"]
    assert said in warning


REFUSED: dict[str, tuple[Callable[[], keras.Model], type[CamserveError], str]] = {
    "a function that is called softmax": (
        lambda: classifier(lambda x: dense(x, activation=softmax)),
        SourceError,
        "softmax \\(not Keras's own\\)",
    ),
    "softmax over the batch": (
        lambda: classifier(lambda x: layers.Softmax(axis=0)(dense(x, activation=None))),
        SourceError,
        "softmax over axis 0",
    ),
    "a call of its own": (own_call, SourceError, "a subclassed OwnCall"),
    "a softmax that is left without its reshape": (
        lambda: classifier(lambda x: layers.Conv2D(3, 1)(layers.GlobalAveragePooling2D(keepdims=True)(x))),
        SourceError,
        r"\(None, 1, 1, 3\); .* lacks a keras.layers.Flatten",
    ),
    "other probabilities": (
        lambda: classifier(lambda x: dense(x, activation="log_softmax")),
        SourceError,
        "activation 'log_softmax'",
    ),
    "subclassed": (subclassed, SourceError, "Wrap it as a functional model"),
    "quantized by Keras": (quantized, SourceError, r"'dense\w*' .Dense. was quantized by Keras to int8"),
    "a layer that cannot be made again": (unmakeable, SourceError, "'fixed' .* get_config"),
    "another size at inference": (
        lambda: classifier(dense, layers.RandomCrop(6, 6)),
        SourceError,
        "gives 8x8 pixels at inference, and declares 6x6",
    ),
    "a resize that ONNX does otherwise": (
        lambda: classifier(dense, layers.Resizing(13, 5, interpolation="area")),
        ParityError,
        "logits of onnx",
    ),
    "pixels as whole numbers": (
        lambda: classifier(dense, layers.Rescaling(1 / 255.0), dtype="uint8"),
        UsageError,
        "takes uint8 pixels",
    ),
    "a Sequential that was never built": (
        lambda: keras.Sequential([layers.Flatten(), layers.Dense(3)]),
        SourceError,
        "never built",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_for_what_it_is(name: str, tmp_path: Path) -> None:
    make, kind, said = REFUSED[name]
    with pytest.raises(kind, match=said):
        export_model(make(), tmp_path / "new" / "bundle", preprocessing="unit")
    assert list(tmp_path.iterdir()) == []


def test_a_model_is_left_as_it_was(tmp_path: Path) -> None:
    model = classifier(dense)
    nodes = [len(layer._inbound_nodes) for layer in model.layers]
    weights = model.get_weights()
    export_model(model, tmp_path / "bundle", preprocessing="unit", formats="onnx")
    assert [len(layer._inbound_nodes) for layer in model.layers] == nodes
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), weights, strict=True))
