"""The settings of a loaded model against those that its file stores."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from keras.models import load_model

from camserve.errors import SourceError
from camserve.export.source import model_file
from camserve.export.source.custom_objects import lost_settings
from camserve.export.source.load import load_source
from camserve.export.source.stored_settings import check_stored_settings


def classifier(body: Callable[[Any], Any]) -> keras.Model:
    image = layers.Input((8, 8, 3))
    features = body(layers.Conv2D(4, 3, name="conv")(image))
    return keras.Model(image, layers.Dense(3, "softmax", name="classes")(layers.GlobalAveragePooling2D()(features)))


def nested(x: Any) -> Any:
    inner = layers.Input(x.shape[1:])
    return keras.Model(inner, layers.Softmax(axis=[1, 2], name="attention")(inner), name="inner")(x)


AXES: dict[str, Callable[[Any], Any]] = {
    "several": layers.Softmax(axis=[1, 2]),
    "none": layers.Normalization(axis=None, mean=0.5, variance=2.0),
    "nested": nested,
    "two layers of a class": lambda x: layers.Softmax(axis=-1)(layers.Softmax(axis=[1, 2])(x)),
}


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("name", AXES)
def test_axes_are_kept(name: str, suffix: str, tmp_path: Path) -> None:
    model = classifier(AXES[name])
    model.save(tmp_path / f"model{suffix}")
    images = np.random.default_rng(1).uniform(0, 1, (2, 8, 8, 3)).astype(np.float32)
    loaded = load_source(tmp_path / f"model{suffix}").model
    np.testing.assert_allclose(loaded(images), model(images), atol=1e-6)


def test_axes_of_equally_named_layers_are_kept(tmp_path: Path) -> None:
    def attention(axis: Any) -> keras.Model:
        image = layers.Input((6, 6, 4))
        return keras.Model(image, layers.Softmax(axis=axis, name="attention")(image))

    model = classifier(lambda x: layers.Add()([attention([1, 2])(x), attention([2, 3])(x), attention(1)(x)]))
    model.save(tmp_path / "model.h5")
    images = np.random.default_rng(1).uniform(0, 1, (2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(load_source(tmp_path / "model.h5").model(images), model(images), atol=1e-6)


@keras.saving.register_keras_serializable("test_stored_settings")
class Scaled(layers.Layer):  # type: ignore[misc]
    """A layer that does not store its name."""

    def __init__(self, factor: float = 2.0, name: str | None = None) -> None:
        super().__init__(name=name)
        self.factor = factor

    def call(self, x: Any) -> Any:
        return x * self.factor

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor}


class Forgetful(Scaled):
    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}


def test_layers_stored_without_a_name_are_compared(tmp_path: Path) -> None:
    model = classifier(lambda x: keras.ops.relu(Scaled(3.0)(Scaled(0.5)(x)) - 0.1))
    model.save(tmp_path / "model.keras")
    with keras.saving.custom_object_scope({"Scaled": Scaled}):
        loaded = load_model(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        architecture = json.loads(archive.read("config.json"))
    check_stored_settings(architecture, loaded, "model.keras")
    (node,) = (each for each in architecture["config"]["layers"] if each["config"].get("factor") == 0.5)
    node["config"]["factor"] = 0.6
    with pytest.raises(SourceError, match=r"\(Scaled\) with factor=0\.5, but the file stores factor=0\.6"):
        check_stored_settings(architecture, loaded, "model.keras")
    node["config"]["factor"] = 0.5
    assert "name" not in node["config"]
    architecture["config"]["layers"].append({**node, "name": "lost"})
    with pytest.raises(SourceError, match=r"Keras did not load layer 'lost' \(Scaled\)"):
        check_stored_settings(architecture, loaded, "model.keras")


def test_argument_that_a_layer_does_not_store_is_named() -> None:
    (warning,) = lost_settings(classifier(Forgetful(3.0, name="own")))
    assert warning.startswith("layer 'own' (Forgetful): get_config of its class does not return factor")
    assert lost_settings(classifier(Scaled(3.0))) == ()


def test_precision_is_compared(tmp_path: Path) -> None:
    model = classifier(layers.Conv2D(4, 3, name="half", dtype="mixed_float16"))
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        architecture = json.loads(archive.read("config.json").replace(b"mixed_float16", b"mixed_bfloat16"))
    with pytest.raises(SourceError, match=r"'half' .* with dtype='mixed_float16', .* stores dtype='mixed_bfloat16'"):
        check_stored_settings(architecture, model, "model.keras")


def test_class_with_another_name_in_the_api_is_loaded(tmp_path: Path) -> None:
    def attention(x: Any) -> Any:
        rows = layers.Reshape((6, 24))(x)
        return layers.Reshape((6, 6, 4))(layers.GroupQueryAttention(4, 4, 2)(rows, rows))

    model = classifier(attention)
    model.save(tmp_path / "model.h5")
    images = np.random.default_rng(1).uniform(0, 1, (2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(load_source(tmp_path / "model.h5").model(images), model(images), atol=1e-6)


def test_operations_in_hdf5_are_loaded_or_named(tmp_path: Path) -> None:
    model = classifier(lambda x: keras.ops.relu(x)[:, 1:])
    model.save(tmp_path / "model.h5")
    images = np.random.default_rng(1).uniform(0, 1, (2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(load_source(tmp_path / "model.h5").model(images), model(images), atol=1e-6)
    classifier(lambda x: keras.ops.relu(x) + x).save(tmp_path / "model.h5")
    with pytest.raises(SourceError, match=r"contains Add of keras\.ops, which Keras cannot read from an HDF5 file"):
        load_source(tmp_path / "model.h5")


def test_lost_axis_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier(layers.Softmax(axis=[1, 2], name="attention")).save(tmp_path / "model.h5")
    monkeypatch.setattr(model_file, "restored_axes", lambda architecture: {})
    with pytest.raises(SourceError, match=r"'attention' \(Softmax\) with axis=-1, but the file stores axis=\[1, 2\]"):
        load_source(tmp_path / "model.h5")


@pytest.mark.parametrize(
    ("layer", "setting", "value"),
    [
        ("conv", "strides", [2, 2]),
        ("conv", "activation", "relu"),
        ("classes", "use_bias", False),
        ("conv", "unknown", 3),
    ],
)
def test_changed_setting_is_named(layer: str, setting: str, value: Any, tmp_path: Path) -> None:
    model = classifier(lambda x: x)
    model.save(tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5") as file:
        architecture = json.loads(file.attrs["model_config"])
    check_stored_settings(architecture, model, "model.h5")
    for node in architecture["config"]["layers"]:
        if node["config"]["name"] == layer:
            node["config"][setting] = value
    with pytest.raises(SourceError, match=rf"model\.h5: Keras loaded layer '{layer}' .* with {setting}="):
        check_stored_settings(architecture, model, "model.h5")
