"""The settings of a loaded model against those that its file stores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from camserve.errors import SourceError
from camserve.export.source import model_file
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
