"""Loading of sources, and the error for each source that is not a classifier."""

from __future__ import annotations

import importlib
import io
import json
import os
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from support.networks import small_network

from camserve.contract import PRESETS
from camserve.errors import CamserveError, SourceError, UsageError
from camserve.export.source.downloads import imagenet_labels
from camserve.export.source.load import load_source
from camserve.export.source.recipes import RECIPES, Recipe
from camserve.manifest import file_digest

IMAGES = np.random.default_rng(4).normal(size=(2, 16, 16, 3)).astype(np.float32)


class Doubled(layers.Layer):  # type: ignore[misc]
    def call(self, x: Any) -> Any:
        return x * 2


def saved(folder: Path, *extra: Any, name: str = "model.keras") -> Path:
    model = keras.Sequential([layers.Input((8, 8, 3)), *extra, layers.GlobalAveragePooling2D(), layers.Dense(3)])
    model.save(folder / name)
    return folder / name


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_loaded_model_equals_saved_model(suffix: str, tmp_path: Path) -> None:
    model = small_network()
    model.save(tmp_path / f"net{suffix}")
    loaded = load_source(tmp_path / f"net{suffix}")
    np.testing.assert_array_equal(loaded.model(IMAGES, training=False), model(IMAGES, training=False))
    assert (loaded.name, loaded.preprocessing, loaded.labels) == ("net", None, None)


def test_keras_2_saved_model_keeps_its_outputs(tmp_path: Path) -> None:
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


def test_random_weights_are_deterministic() -> None:
    first, second = (load_source("resnet-mini").model.get_weights() for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_weights_are_loaded_from_a_file(tmp_path: Path) -> None:
    other = load_source("resnet-mini").model
    other.set_weights([weight + 1 for weight in other.get_weights()])
    other.save_weights(tmp_path / "own.weights.h5")
    loaded = load_source("resnet-mini", str(tmp_path / "own.weights.h5")).model
    np.testing.assert_array_equal(loaded.get_weights()[0], other.get_weights()[0])


def error_message(
    source: Any, weights: str | None = None, kind: type[CamserveError] = SourceError, sha256: str | None = None
) -> str:
    with pytest.raises(kind) as caught:
        load_source(source, weights, sha256=sha256)
    assert caught.value.hint
    return caught.value.message


def test_unknown_source_is_an_error() -> None:
    assert "neither a recipe nor an existing file" in error_message("resnet51")
    assert "no classifier 'resnet51'" in error_message("keras:resnet51")


def edited(source: Path, target: Path, change: Any) -> Path:
    """Write a `.keras` file with one of its members, from JSON, changed."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as written:
        for name in archive.namelist():
            content = archive.read(name)
            written.writestr(name, json.dumps(change(name, json.loads(content))) if name.endswith(".json") else content)
    return target


def test_version_of_keras_that_saved_a_file_is_named(tmp_path: Path) -> None:
    def newer(name: str, content: Any) -> Any:
        if name == "metadata.json":
            return {**content, "keras_version": "3.99.0"}
        content["config"]["layers"][-1]["config"]["novelty"] = 1
        return content

    path = edited(saved(tmp_path), tmp_path / "newer.keras", newer)
    with pytest.raises(SourceError, match=r"\(Dense\): Unrecognized keyword arguments .*novelty") as refused:
        load_source(path)
    assert refused.value.hint == "Install the version of Keras that saved it: pip install keras==3.99.0"


@keras.saving.register_keras_serializable("tests")
class Listed(layers.Layer):  # type: ignore[misc]
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = [[layers.Dense(4)]]

    def build(self, shape: Any) -> None:
        self.inner[0][0].build(shape)

    def call(self, x: Any) -> Any:
        return self.inner[0][0](x)


def test_file_without_the_weights_of_a_layer_is_refused(tmp_path: Path) -> None:
    """Older versions of Keras did not store layers in lists of lists, and a newer one only warns of that."""
    path, bare = saved(tmp_path, Listed()), tmp_path / "bare.keras"
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(bare, "w") as written:
        weights = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(weights, "a") as file:
            del file["layers/listed/inner/container"]
        for name in archive.namelist():
            written.writestr(name, weights.getvalue() if name == "model.weights.h5" else archive.read(name))
    load_source(path)
    assert "Skipping nested container at 'layers/listed/inner/container'" in error_message(bare)


class OwnLoss(keras.losses.Loss):  # type: ignore[misc]
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean((y_true - y_pred) ** 2)


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_unknown_loss_is_ignored(name: str, tmp_path: Path) -> None:
    """A custom loss needs no module, because the model is not compiled."""
    model = small_network()
    model.compile("adam", OwnLoss())
    model.save(tmp_path / name)
    if name.endswith(".keras"):  # the file contains the loss, and camserve must ignore it
        with pytest.raises(TypeError, match="OwnLoss"):
            keras.models.load_model(tmp_path / name)
    loaded = load_source(tmp_path / name).model
    assert not loaded.compiled
    np.testing.assert_array_equal(loaded(IMAGES, training=False), model(IMAGES, training=False))


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_truncated_model_is_refused(name: str, part: float, tmp_path: Path) -> None:
    path = saved(tmp_path, name=name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    assert str(path) in error_message(path)


@pytest.mark.parametrize("name", ["own.weights.h5", "own.h5", "own.keras"])
@pytest.mark.parametrize("part", [0.3, 0.9, 0.999])
def test_truncated_weights_leave_the_model_unchanged(name: str, part: float, tmp_path: Path) -> None:
    model = small_network()
    path = tmp_path / name
    model.save_weights(path) if "weights" in name else model.save(path)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    before = model.get_weights()
    assert "or it is truncated" in error_message(model, str(path))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_named_pipe_is_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.keras")
    assert "is not a regular file" in error_message(tmp_path / "pipe.keras")
    assert "is not a regular file" in error_message("resnet-mini", str(tmp_path / "pipe.keras"))


def test_checksum_is_verified_before_loading(tmp_path: Path) -> None:
    path = saved(tmp_path)
    digest = file_digest(path)
    assert load_source(path, sha256=digest.upper()).sha256 == digest
    assert load_source(path).sha256 == digest
    path.write_bytes(b"not a model")
    assert f"expected {digest}" in error_message(path, sha256=digest)


def test_checksum_applies_to_the_weights_of_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "own.weights.h5"
    load_source("resnet-mini").model.save_weights(path)
    digest = file_digest(path)
    assert load_source("resnet-mini", str(path), sha256=digest).sha256 == digest
    assert "own.weights.h5 has the SHA-256" in error_message("resnet-mini", str(path), sha256="0" * 64)


def test_checksum_requires_exactly_one_file(tmp_path: Path) -> None:
    path = saved(tmp_path)
    digest = file_digest(path)
    for source, weights in ((path, str(path)), ("resnet-mini", None), (small_network(), None), (tmp_path, None)):
        assert "--sha256 applies to exactly one file" in error_message(source, weights, UsageError, digest)
    for malformed in ("", "0" * 63, "g" * 64, f" {digest}", f"sha256:{digest}"):
        assert "64 hexadecimal digits" in error_message(path, None, UsageError, malformed)


def test_title_contains_no_folders(tmp_path: Path) -> None:
    path = saved(tmp_path, name="cat.keras")
    weights = tmp_path / "own.weights.h5"
    model = load_source(path).model
    model.save_weights(weights)
    mini = tmp_path / "mini.weights.h5"
    load_source("resnet-mini").model.save_weights(mini)
    titles = {
        "cat.keras": load_source(path),
        "cat.keras, weights own.weights.h5": load_source(path, str(weights)),
        "a model in memory": load_source(model),
        "a model in memory, weights own.weights.h5": load_source(model, str(weights)),
        "resnet-mini, weights none": load_source("resnet-mini"),
        "resnet-mini, weights mini.weights.h5": load_source("resnet-mini", str(mini)),
    }
    assert [loaded.title for loaded in titles.values()] == list(titles)
    assert load_source(path, str(weights)).origin == f"{path}, weights {weights}"
    assert [load_source(source).sha256 for source in (model, "resnet-mini")] == [None, None]


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_unregistered_custom_layer_is_named(name: str, tmp_path: Path) -> None:
    assert "'Doubled'" in error_message(saved(tmp_path, Doubled(), name=name))


def test_lambda_layer_is_refused(tmp_path: Path) -> None:
    assert "Lambda" in error_message(saved(tmp_path, layers.Lambda(lambda x: x * 2)))


def test_subclassed_saved_model_is_refused(tmp_path: Path) -> None:
    import tf_keras

    class Own(tf_keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.classes = tf_keras.layers.Dense(3)

        def call(self, x: Any) -> Any:
            return self.classes(x)

    model = Own()
    model(IMAGES[:, 0, 0])
    model.save(str(tmp_path / "own"), save_format="tf")
    assert "only its own code can rebuild" in error_message(tmp_path / "own")


def test_saved_model_with_an_outside_link_is_refused(tmp_path: Path) -> None:
    import tf_keras

    folder = tmp_path / "net"
    tf_keras.Sequential([tf_keras.layers.Input((4,)), tf_keras.layers.Dense(3)]).save(str(folder), save_format="tf")
    index = folder / "variables" / "variables.index"
    index.rename(tmp_path / "elsewhere").resolve()
    index.symlink_to(tmp_path / "elsewhere")
    assert "link to a file outside it" in error_message(folder)


def test_saved_model_without_layers_is_refused(tmp_path: Path) -> None:
    small_network().export(tmp_path / "exported", verbose=False)
    assert "contains only a function" in error_message(tmp_path / "exported")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    other = small_network()
    other.save(tmp_path / "other.h5")
    other.save_weights(tmp_path / "other.weights.h5")
    for name in ("other.h5", "other.weights.h5"):
        assert f"{name} into resnet-mini" in error_message("resnet-mini", str(tmp_path / name))
    assert "does not exist" in error_message("resnet-mini", str(tmp_path / "missing.h5"))


def test_unavailable_imagenet_weights_are_a_usage_error() -> None:
    assert "recipe 'resnet-mini' has no ImageNet weights" in error_message("resnet-mini", "imagenet", UsageError)
    assert "has weights of its own" in error_message(small_network(), "imagenet", UsageError)


def pretrained(*, weights: str | None = None, size: tuple[int, int] = (16, 16), pooled: bool = True) -> keras.Model:
    """Build a network as `keras.applications` does, whose ImageNet weights are all 0.5."""
    pool = layers.GlobalAveragePooling2D() if pooled else layers.Flatten()
    model = keras.Sequential([layers.Input((*size, 3)), layers.Conv2D(4, 3), pool, layers.Dense(5, name="fc")])
    if weights is not None:
        model.set_weights([np.full_like(weight, 0.5) for weight in model.get_weights()])
    return model


def test_imagenet_weights_serve_another_size_where_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def recipe(*, pooled: bool) -> Recipe:
        return Recipe(partial(pretrained, pooled=pooled), PRESETS["unit"], imagenet=True)

    monkeypatch.setitem(RECIPES, "resnet50", recipe(pooled=True))
    loaded = load_source("resnet50", size=(24, 32))
    assert loaded.model.input_shape == (None, 24, 32, 3)
    assert all(np.all(weight == 0.5) for weight in loaded.model.get_weights())
    assert loaded.title == "resnet50, size 24x32, weights imagenet"
    monkeypatch.setitem(RECIPES, "resnet50", recipe(pooled=False))
    assert load_source("resnet50", size=(16, 16)).imagenet
    with pytest.raises(
        UsageError, match=r"do not fit images of 24x32: .*fc/kernel must have .* \(2640, 5\)"
    ) as refused:
        load_source("resnet50", size=(24, 32))
    assert refused.value.hint == "Remove --size: they are for images of 16x16"


def test_normalization_in_a_nested_model_keeps_its_statistics(tmp_path: Path) -> None:
    images = np.random.default_rng(0).uniform(0, 255, (8, 4, 4, 3)).astype(np.float32)
    normalization = layers.Normalization()
    normalization.adapt(images)
    nested = keras.Sequential([layers.Input((4, 4, 3)), normalization])
    model = keras.Sequential([layers.Input((4, 4, 3)), nested, layers.Flatten(), layers.Dense(3, "softmax")])
    expected = np.asarray(model(images, training=False))
    model.save(tmp_path / "net.h5")
    (tmp_path / "net.json").write_text(model.to_json())
    for name in ("net.h5", "net.json"):  # the second with the weights of the first
        loaded = load_source(tmp_path / name).model
        np.testing.assert_allclose(loaded(images, training=False), expected, atol=1e-6)


@pytest.mark.slow
def test_imagenet_network_with_layers_of_its_own_serves_another_size(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    family: Any = importlib.import_module(keras.applications.EfficientNetB0.__module__)
    thin = partial(family.EfficientNet, 0.25, 0.1, 64, name="thin", weights_name="b0")
    monkeypatch.setattr(keras.applications, "EfficientNetB0", thin)
    stored = thin(weights=None)
    statistics = next(layer for layer in stored.layers if isinstance(layer, layers.Normalization)).weights
    for weight, value in zip(statistics, ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 0), strict=True):
        weight.assign(value)
    stored.save_weights(tmp_path / "thin.weights.h5")
    monkeypatch.setattr(family.file_utils, "get_file", lambda *_, **__: str(tmp_path / "thin.weights.h5"))
    native = thin(weights="imagenet")
    assert len(native.layers) == len(stored.layers) + 1  # a Rescaling that Keras adds only with these weights
    expected = keras.models.clone_model(native, input_tensors=layers.Input((96, 96, 3)))
    expected.set_weights(native.get_weights())
    next(layer for layer in expected.layers if isinstance(layer, layers.Normalization)).finalize_state()
    images = np.random.default_rng(0).uniform(0, 255, (1, 96, 96, 3)).astype(np.float32)
    loaded = load_source("keras:EfficientNetB0", "imagenet", size=(96, 96)).model
    with pytest.raises(SourceError, match="weights='imagenet', which has a Rescaling layer more"):
        load_source("keras:EfficientNetB0", str(tmp_path / "thin.weights.h5"))
    features = [keras.Model(model.input, model.get_layer("avg_pool").output)(images) for model in (loaded, expected)]
    np.testing.assert_allclose(features[0], features[1], rtol=1e-4)


def test_size_too_small_for_a_recipe_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="keras:MobileNetV2 cannot be built with size 8x8: Input size must be"):
        load_source("keras:MobileNetV2", "none", size=(8, 8))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return an empty Keras cache, and block downloads."""
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))  # read from KERAS_HOME at its import
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    return tmp_path


def test_failed_download_is_an_error(
    monkeypatch: pytest.MonkeyPatch, no_network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "'resnet50' cannot be downloaded" in error_message("resnet50", "imagenet")
    monkeypatch.setattr(keras.applications.imagenet_utils, "decode_predictions", _unreachable)
    with pytest.raises(SourceError, match="class index cannot be downloaded"):
        imagenet_labels()
    assert capsys.readouterr().out == "", "Keras's download messages must not be on standard output"


def test_damaged_imagenet_weights_in_the_cache_are_an_error(no_network: Path) -> None:
    cached = no_network / "models" / "resnet50_weights_tf_dim_ordering_tf_kernels.h5"
    cached.parent.mkdir()
    load_source("resnet-mini").model.save(cached)
    assert "'resnet50' have a wrong checksum" in error_message("resnet50", "imagenet")


def _unreachable(*_: Any, **__: Any) -> None:
    raise Exception("URL fetch failure")
