"""Sources that are no classifier, each refused with its reason."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from support.networks import small_network

from camserve.errors import CamserveError, SourceError, UsageError
from camserve.export.source.downloads import imagenet_labels
from camserve.export.source.load import load_source
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


def refused(
    source: Any, weights: str | None = None, kind: type[CamserveError] = SourceError, sha256: str | None = None
) -> str:
    with pytest.raises(kind) as refusal:
        load_source(source, weights, sha256=sha256)
    assert refusal.value.hint, "a refusal says what to do"
    return refusal.value.message


def test_what_is_not_there_is_refused() -> None:
    assert "neither a recipe nor a file" in refused("resnet51")
    assert "no classifier 'resnet51'" in refused("keras:resnet51")


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "cat.jpg"
    image.write_bytes(b"\xff\xd8\xff")
    assert "'.jpg'" in refused(image)
    for name in ("model.keras", "model.h5"):
        (tmp_path / name).write_text("weights")
        assert name in refused(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("readme.txt", "no model")
    assert "other.keras" in refused(tmp_path / "other.keras")
    assert "not a SavedModel: it has no saved_model.pb" in refused(tmp_path)


class OwnLoss(keras.losses.Loss):  # type: ignore[misc]
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean((y_true - y_pred) ** 2)


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_how_a_model_was_trained_is_not_asked(name: str, tmp_path: Path) -> None:
    """A loss of the user's own needs no module: nothing is trained here."""
    model = small_network()
    model.compile("adam", OwnLoss())
    model.save(tmp_path / name)
    if name.endswith(".keras"):  # the loss is in the file, and it is for camserve not to look
        with pytest.raises(TypeError, match="OwnLoss"):
            keras.models.load_model(tmp_path / name)
    loaded = load_source(tmp_path / name).model
    assert not loaded.compiled
    np.testing.assert_array_equal(loaded(IMAGES, training=False), model(IMAGES, training=False))


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_model_is_refused(name: str, part: float, tmp_path: Path) -> None:
    path = saved(tmp_path, name=name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    assert str(path) in refused(path)


@pytest.mark.parametrize("name", ["own.weights.h5", "own.h5", "own.keras"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_truncated_weights_are_refused_and_change_nothing(name: str, part: float, tmp_path: Path) -> None:
    model = small_network()
    path = tmp_path / name
    model.save_weights(path) if "weights" in name else model.save(path)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    before = model.get_weights()
    assert "or only a part of one" in refused(model, str(path))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.keras")
    assert "no plain file" in refused(tmp_path / "pipe.keras")
    assert "no file of weights" in refused("resnet-mini", str(tmp_path / "pipe.keras"))


def test_a_file_is_held_to_its_hash_before_anything_reads_it(tmp_path: Path) -> None:
    path = saved(tmp_path)
    digest = file_digest(path)
    assert load_source(path, sha256=digest.upper()).sha256 == digest
    assert load_source(path).sha256 == digest
    path.write_bytes(b"no model at all")
    assert f"{digest} was expected" in refused(path, sha256=digest)


def test_weights_of_a_recipe_are_held_to_their_hash(tmp_path: Path) -> None:
    path = tmp_path / "own.weights.h5"
    load_source("resnet-mini").model.save_weights(path)
    digest = file_digest(path)
    assert load_source("resnet-mini", str(path), sha256=digest).sha256 == digest
    assert "own.weights.h5 has the SHA-256" in refused("resnet-mini", str(path), sha256="0" * 64)


def test_a_hash_without_one_file_is_wrong_usage(tmp_path: Path) -> None:
    path = saved(tmp_path)
    digest = file_digest(path)
    for source, weights in ((path, str(path)), ("resnet-mini", None), (small_network(), None), (tmp_path, None)):
        assert "cannot be held" in refused(source, weights, UsageError, digest)
    for malformed in ("", "0" * 63, "g" * 64, f" {digest}", f"sha256:{digest}"):
        assert "64 hexadecimal digits" in refused(path, None, UsageError, malformed)


def test_a_source_is_called_alike_on_every_machine(tmp_path: Path) -> None:
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
def test_a_custom_layer_that_is_not_registered_is_named(name: str, tmp_path: Path) -> None:
    assert "'Doubled'" in refused(saved(tmp_path, Doubled(), name=name))


def test_a_lambda_layer_is_not_run(tmp_path: Path) -> None:
    assert "Lambda" in refused(saved(tmp_path, layers.Lambda(lambda x: x * 2)))


def test_a_saved_model_of_a_class_of_its_own_is_refused(tmp_path: Path) -> None:
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
    assert "only its own code can rebuild" in refused(tmp_path / "own")


def test_a_saved_model_whose_parts_are_elsewhere_is_refused(tmp_path: Path) -> None:
    import tf_keras

    folder = tmp_path / "net"
    tf_keras.Sequential([tf_keras.layers.Input((4,)), tf_keras.layers.Dense(3)]).save(str(folder), save_format="tf")
    index = folder / "variables" / "variables.index"
    index.rename(tmp_path / "elsewhere").resolve()
    index.symlink_to(tmp_path / "elsewhere")
    assert "leads out of the SavedModel" in refused(folder)


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


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keras's folder, with nothing in it."""
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))  # read from KERAS_HOME at its import
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    return tmp_path


def test_without_network_imagenet_is_refused(
    monkeypatch: pytest.MonkeyPatch, no_network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "'resnet50' cannot be downloaded" in refused("resnet50", "imagenet")
    monkeypatch.setattr(keras.applications.imagenet_utils, "decode_predictions", _unreachable)
    with pytest.raises(SourceError, match="class index cannot be downloaded"):
        imagenet_labels()
    assert capsys.readouterr().out == "", "what Keras says of its downloads is no output"


def test_damaged_imagenet_weights_in_the_cache_are_refused(no_network: Path) -> None:
    cached = no_network / "models" / "resnet50_weights_tf_dim_ordering_tf_kernels.h5"
    cached.parent.mkdir()
    load_source("resnet-mini").model.save(cached)
    assert "'resnet50' are damaged: their hash is not Keras's" in refused("resnet50", "imagenet")


def _unreachable(*_: Any, **__: Any) -> None:
    raise Exception("URL fetch failure")
