"""Models as users have them: each exports exactly, or is refused for what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from camserve.bundle import load_bundle
from camserve.errors import CamserveError, HeadError, ParityError, SourceError, UsageError
from camserve.export import export_model


def classifier(tail: Callable[[Any], Any], *first: Any, name: str = "odd", dtype: str | None = None) -> keras.Model:
    image = layers.Input((8, 8, 3), dtype=dtype)
    x: Any = image
    for layer in first:
        x = layer(x)
    features = layers.Conv2D(4, 3, padding="same", activation="relu", name="features")(x)
    return keras.Model(image, tail(features), name=name)


def dense(x: Any, **options: Any) -> Any:
    return layers.Dense(3, **{"activation": "softmax", **options})(layers.GlobalAveragePooling2D()(x))


def softmax(x: Any) -> Any:
    return keras.ops.softmax(x / 10)


class OwnCall(keras.Model):  # type: ignore[misc]
    def call(self, image: Any, training: bool | None = None) -> Any:
        return super().call(image, training=training) / 2 + 1 / 6


class AlwaysDropout(layers.Dropout):  # type: ignore[misc]
    def call(self, x: Any, training: bool | None = None) -> Any:
        return x * 0.5


def own_call() -> keras.Model:
    model = classifier(dense)
    return OwnCall(model.input, model.output)


def nested_names_twice() -> keras.Model:
    def part() -> keras.Model:
        return keras.Sequential([layers.Input((8, 8, 3)), layers.Conv2D(3, 1, name="same"), layers.ReLU(name="act")])

    return classifier(dense, part(), part())


def trained_backbone() -> keras.Model:
    image = layers.Input((8, 8, 3))
    backbone = keras.Sequential([layers.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.BatchNormalization()])
    return keras.Model(image, dense(backbone(image, training=True)), name="trained")


def lasting_dropout() -> keras.Model:
    return classifier(lambda x: dense(layers.Dropout(0.5)(x, training=True)))


EXACT: dict[str, Callable[[], keras.Model]] = {
    "layer names of our own": lambda: classifier(lambda x: dense(x, name="probabilities"), layers.ReLU(name="image")),
    "equal names in two nested models": nested_names_twice,
    "constants inside": lambda: classifier(
        dense, layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.1, 0.2, 0.3]), layers.Rescaling(2.0, -1.0)
    ),
    "one window with a smaller stride": lambda: classifier(
        lambda x: layers.Dense(3)(layers.Flatten()(layers.AveragePooling2D(8, strides=1)(x)))
    ),
    "a head of zeros": lambda: classifier(lambda x: dense(x, kernel_initializer="zeros")),
    "a linear activation on its own": lambda: classifier(
        lambda x: layers.Activation("softmax")(layers.Activation("linear")(dense(x, activation=None)))
    ),
    "augmentation inside": lambda: classifier(dense, layers.RandomFlip(), layers.RandomRotation(0.1)),
    "blanks and accents in its name": lambda: classifier(dense, name="réseau de neurones"),
    "a dropout of its own": lambda: classifier(lambda x: dense(AlwaysDropout(0.5)(x))),
    "mixed precision": lambda: with_policy("mixed_float16", lambda: classifier(dense)),
}


def with_policy(policy: str, make: Callable[[], keras.Model]) -> keras.Model:
    keras.config.set_dtype_policy(policy)
    try:
        return make()
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("name", EXACT)
def test_it_exports_exactly(name: str, tmp_path: Path) -> None:
    bundle = export_model(EXACT[name](), tmp_path / "bundle", preprocessing="unit")
    assert all(figure["passed"] for figure in bundle.report["parity"])
    assert {"reading", "cam_identity"} <= {figure["figure"] for figure in bundle.report["parity"]}
    assert not any("training=True" in warning for warning in bundle.report["warnings"])


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
    "a call of its own": (own_call, ParityError, "reading of network"),
    "rows and columns swapped": (
        lambda: classifier(lambda x: layers.Dense(3)(layers.Flatten()(layers.Permute((2, 1, 3))(x)))),
        HeadError,
        "Permute",
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


def test_only_an_unchanged_bundle_is_replaced(tmp_path: Path) -> None:
    model, out = classifier(dense), tmp_path / "bundle"
    export_model(model, out, preprocessing="unit", formats="onnx")
    (out / "NOTES.md").write_text("mine")
    with pytest.raises(UsageError, match="holds other files"):
        export_model(model, out, preprocessing="unit", formats="onnx")
    assert (out / "NOTES.md").read_text() == "mine"
    site = tmp_path / "site"
    site.mkdir()
    (site / "manifest.json").write_text('{"name": "a web page"}')
    with pytest.raises(UsageError, match="holds other files"):
        export_model(model, site, preprocessing="unit", formats="onnx")


def test_an_earlier_bundle_outlives_bad_options(tmp_path: Path) -> None:
    model, out = classifier(dense), tmp_path / "bundle"
    earlier = export_model(model, out, preprocessing="unit", formats="onnx")
    for options in ({"labels": ["a\nb", "c", "d"]}, {"labels": ["", "b", "c"]}, {"resize": "cubic"}, {"fit": "tile"}):
        with pytest.raises(UsageError):
            export_model(model, out, **{"preprocessing": "unit", **options})  # type: ignore[arg-type]
    assert load_bundle(out) == earlier


def test_the_current_folder_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    for out in (".", ".."):
        with pytest.raises(UsageError, match="current folder"):
            export_model(classifier(dense), out, preprocessing="unit")


def test_a_link_is_followed_and_kept(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    export_model(classifier(dense), tmp_path / "link", preprocessing="unit", formats="onnx")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target" / "model.onnx").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "target"]
