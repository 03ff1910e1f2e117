"""Sources that are no classifier, each refused with its reason."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from networks import small_network

from camserve.errors import CamserveError, SourceError, UsageError
from camserve.export import load
from camserve.export.load import load_source

IMAGES = np.random.default_rng(4).normal(size=(2, 16, 16, 3)).astype(np.float32)


class Doubled(layers.Layer):  # type: ignore[misc]
    def call(self, x: Any) -> Any:
        return x * 2


def saved(folder: Path, *extra: Any, name: str = "model.keras") -> Path:
    model = keras.Sequential([layers.Input((8, 8, 3)), *extra, layers.GlobalAveragePooling2D(), layers.Dense(3)])
    model.save(folder / name)
    return folder / name


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_saved_model_comes_back_as_it_was(suffix: str, tmp_path: Path) -> None:
    model = small_network()
    model.save(tmp_path / f"net{suffix}")
    loaded = load_source(tmp_path / f"net{suffix}")
    np.testing.assert_array_equal(loaded.model(IMAGES, training=False), model(IMAGES, training=False))
    assert (loaded.name, loaded.preprocessing, loaded.labels) == ("net", None, None)


def test_a_saved_model_folder_of_keras_2_comes_back_as_it_was(tmp_path: Path) -> None:
    import tf_keras

    model = tf_keras.Sequential(
        [
            tf_keras.layers.Input((16, 16, 3)),
            tf_keras.layers.Conv2D(4, 3),
            tf_keras.layers.BatchNormalization(),
            tf_keras.layers.GlobalAveragePooling2D(),
            tf_keras.layers.Dense(3, "softmax"),
        ]
    )
    model.save(str(tmp_path / "net"), save_format="tf")
    loaded = load_source(tmp_path / "net")
    np.testing.assert_allclose(loaded.model(IMAGES, training=False), model(IMAGES, training=False), atol=1e-6)


def test_random_weights_are_always_the_same() -> None:
    first, second = (load_source("resnet-mini").model.get_weights() for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_weights_come_from_a_file(tmp_path: Path) -> None:
    other = load_source("resnet-mini").model
    other.set_weights([weight + 1 for weight in other.get_weights()])
    other.save_weights(tmp_path / "own.weights.h5")
    loaded = load_source("resnet-mini", str(tmp_path / "own.weights.h5")).model
    np.testing.assert_array_equal(loaded.get_weights()[0], other.get_weights()[0])


def refused(source: Any, weights: str | None = None, kind: type[CamserveError] = SourceError) -> str:
    with pytest.raises(kind) as refusal:
        load_source(source, weights)
    assert refusal.value.hint, "a refusal says what to do"
    return refusal.value.message


def test_what_is_not_there_is_refused() -> None:
    assert "neither a recipe nor a file" in refused("resnet51")
    assert "no classifier 'resnet51'" in refused("keras:resnet51")


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    picture = tmp_path / "cat.jpg"
    picture.write_bytes(b"\xff\xd8\xff")
    assert "'.jpg'" in refused(picture)
    for name in ("model.keras", "model.h5"):
        (tmp_path / name).write_text("weights")
        assert name in refused(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("readme.txt", "no model")
    assert "other.keras" in refused(tmp_path / "other.keras")
    assert "not a SavedModel" in refused(tmp_path)


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_model_is_refused(name: str, part: float, tmp_path: Path) -> None:
    path = saved(tmp_path, name=name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    assert str(path) in refused(path)


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_a_custom_layer_that_is_not_registered_is_named(name: str, tmp_path: Path) -> None:
    assert "'Doubled'" in refused(saved(tmp_path, Doubled(), name=name))


def test_a_lambda_layer_is_not_run(tmp_path: Path) -> None:
    assert "Lambda" in refused(saved(tmp_path, layers.Lambda(lambda x: x * 2)))


def test_a_saved_model_without_layers_is_refused(tmp_path: Path) -> None:
    small_network().export(tmp_path / "exported", verbose=False)
    assert "holds a function only" in refused(tmp_path / "exported")


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    other = small_network()
    other.save(tmp_path / "other.h5")
    other.save_weights(tmp_path / "other.weights.h5")
    for name in ("other.h5", "other.weights.h5"):
        assert f"{name} do not fit resnet-mini" in refused("resnet-mini", str(tmp_path / name))
    assert "no file of weights" in refused("resnet-mini", str(tmp_path / "missing.h5"))


def test_weights_that_do_not_exist_are_wrong_usage() -> None:
    assert "no ImageNet weights for 'resnet-mini'" in refused("resnet-mini", "imagenet", UsageError)
    assert "has weights of its own" in refused(small_network(), "imagenet", UsageError)


def test_without_network_imagenet_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # nothing is cached there
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    assert "'resnet50' cannot be downloaded" in refused("resnet50", "imagenet")
    monkeypatch.setattr(keras.applications.imagenet_utils, "decode_predictions", _unreachable)
    with pytest.raises(SourceError, match="class index cannot be downloaded"):
        load.imagenet_labels()


def _unreachable(*_: Any, **__: Any) -> None:
    raise Exception("URL fetch failure")
