"""Conversion of Keras 2 models to Keras 3."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras

from camserve.errors import SourceError
from camserve.export.source.archive import is_keras_2_archive
from camserve.export.source.keras2 import is_keras_2_hdf5, load_keras_2
from camserve.export.source.load import load_source

pytestmark = pytest.mark.slow

layers = tf_keras.layers


def classifier(body: Callable[[Any], Any], side: int = 8) -> Any:
    image = layers.Input((side, side, 3))
    return tf_keras.Model(image, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(body(image))))


def inner() -> Any:
    image = layers.Input((8, 8, 3))
    return tf_keras.Model(image, layers.BatchNormalization(name="same/norm")(layers.Conv2D(4, 3, name="same")(image)))


def twice() -> Any:
    shared = inner()
    return classifier(lambda x: layers.Add()([shared(x), shared(layers.ReLU()(x))]))


def transferred(name: str) -> Any:
    body = getattr(tf_keras.applications, name)(weights=None, include_top=False, input_shape=(32, 32, 3))
    return classifier(lambda x: body(x, training=False), side=32)


def zoo(x: Any) -> Any:
    for layer in (
        *(layers.Rescaling(2.0), layers.Resizing(12, 12), layers.Conv2D(4, 3, groups=1), layers.LeakyReLU(0.2)),
        *(layers.SeparableConv2D(4, 3), layers.DepthwiseConv2D(3), layers.Conv2DTranspose(4, 3), layers.PReLU()),
        *(layers.UpSampling2D(2), layers.ZeroPadding2D(1), layers.LayerNormalization(), layers.SpatialDropout2D(0.1)),
    ):
        x = layer(x)
    return x


MODELS: dict[str, Callable[[], Any]] = {
    "flat": lambda: classifier(zoo),
    "nested functional": lambda: classifier(inner()),
    "nested sequential": lambda: classifier(tf_keras.Sequential([layers.Conv2D(4, 3, input_shape=(8, 8, 3))])),
    "deeply nested": lambda: classifier(tf_keras.Sequential([tf_keras.Sequential([inner()])])),
    "equal names": lambda: classifier(lambda x: layers.Concatenate()([inner()(x), inner()(x)])),
    "called twice": twice,
    "sequential of models": lambda: tf_keras.Sequential([inner(), layers.Flatten(), layers.Dense(3)]),
    "augmentation": lambda: classifier(lambda x: inner()(tf_keras.Sequential([layers.RandomFlip()])(x))),
    "transfer learning": lambda: transferred("MobileNetV2"),
}


@pytest.mark.parametrize("name", MODELS)
def test_converted_model_keeps_its_outputs(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    images = np.random.default_rng(9).uniform(0, 1, (2, *model.input_shape[1:])).astype(np.float32)
    expected = model.predict(images, verbose=0)
    model.save(tmp_path / "model.h5")
    loaded = load_keras_2(tmp_path / "model.h5")
    assert isinstance(loaded, keras.Model)
    np.testing.assert_allclose(loaded.predict(images, verbose=0), expected, atol=1e-6)


def test_keras_version_is_read_from_the_file(tmp_path: Path) -> None:
    classifier(inner()).save(tmp_path / "old.h5")
    keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]).save(tmp_path / "new.h5")
    assert is_keras_2_hdf5(tmp_path / "old.h5")
    assert not is_keras_2_hdf5(tmp_path / "new.h5")
    classifier(inner()).save(tmp_path / "old.keras")
    keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]).save(tmp_path / "new.keras")
    assert is_keras_2_archive(tmp_path / "old.keras")
    assert not is_keras_2_archive(tmp_path / "new.keras")


def rewrite_config(path: Path, change: Callable[[str], str]) -> Path:
    """Change the architecture in an archive."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = change(members["config.json"].decode()).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("module", ["tf_keras.src.engine", "keras.src.engine", "keras.engine"])
@pytest.mark.parametrize("name", ["flat", "deeply nested", "called twice"])
def test_converted_archive_keeps_its_outputs(name: str, module: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    images = np.random.default_rng(8).uniform(0, 1, (2, *model.input_shape[1:])).astype(np.float32)
    model.save(tmp_path / "model.keras")
    path = rewrite_config(tmp_path / "model.keras", lambda config: config.replace("tf_keras.src.engine", module))
    loaded = load_source(path).model
    assert isinstance(loaded, keras.Model)
    np.testing.assert_allclose(loaded.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-6)


def test_keras_2_archive_with_code_is_refused(tmp_path: Path) -> None:
    classifier(inner()).save(tmp_path / "model.keras")

    def attack(config: str) -> str:
        network = json.loads(config)
        network["config"]["layers"][-1]["config"]["activation"] = FUNCTION_OF_OS
        return json.dumps(network)

    with pytest.raises(SourceError, match=r"'system' from module 'os'"):
        load_source(rewrite_config(tmp_path / "model.keras", attack))


FUNCTION_OF_OS = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["model.h5", "model.keras", "model"])
def test_conversion_prints_no_warnings(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        MODELS["nested sequential"]().save(str(tmp_path / name))
    capfd.readouterr()
    loaded = load_source(tmp_path / name).model
    loaded(np.zeros((1, 8, 8, 3), np.float32))
    assert capfd.readouterr().err == ""
    with pytest.warns(UserWarning, match="input_shape"):  # warnings are enabled again
        keras.Sequential([keras.layers.Conv2D(4, 3, input_shape=(8, 8, 3))])


def test_bare_tensorflow_operation_is_named(tmp_path: Path) -> None:
    classifier(lambda x: inner()(x / 127.5 - 1.0)).save(tmp_path / "model.h5")
    with pytest.raises(SourceError, match=r"'math\.truediv' \(layer 'tf\.math\.truediv\w*'\)") as error:
        load_source(tmp_path / "model.h5")
    assert "Rescaling" in str(error.value.hint)
    assert "--preprocess" in str(error.value.hint)
