"""Weights from files: under any name, of Keras 2 and 3, and the layer that does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from camserve.contract import PRESETS
from camserve.errors import SourceError
from camserve.export.source.load import load_source
from camserve.export.source.weights import load_weights

IMAGES = np.random.default_rng(4).normal(size=(2, 16, 16, 3)).astype(np.float32)


def network(library: Any, *, classes: int = 4, filters: int = 5) -> Any:
    layers = library.layers
    image = layers.Input((16, 16, 3))
    x = layers.BatchNormalization(name="bn")(layers.Conv2D(filters, 3, name="conv")(image))
    x = layers.GlobalAveragePooling2D(name="pool")(layers.DepthwiseConv2D(3, name="depthwise")(x))
    return library.Model(image, layers.Dense(classes, "softmax", name="classes")(x), name="own")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tf_keras

    folder = tmp_path_factory.mktemp("weights")
    for name, library in (("k2", tf_keras), ("k3", keras)):
        model = network(library)
        model.save_weights(folder / f"{name}.weights.h5")
        model.save(folder / f"{name}.h5")
        np.save(folder / f"{name}.npy", np.asarray(model(IMAGES, training=False)))
    tf_keras.models.load_model(folder / "k2.h5").save_weights(folder / "k2-order.h5")
    keras.models.load_model(folder / "k3.h5").save(folder / "k3.keras")
    return folder


@pytest.mark.parametrize("name", ["k2.weights.h5", "k2.h5", "k2-order.h5", "k3.weights.h5", "k3.h5", "k3.keras"])
@pytest.mark.parametrize("renamed", ["w.h5", "w.weights.h5", "w.keras", "w"])
def test_weights_load_under_any_name(name: str, renamed: str, files: Path, tmp_path: Path) -> None:
    (tmp_path / renamed).write_bytes((files / name).read_bytes())
    model = network(keras)
    load_weights(model, tmp_path / renamed, "own")
    np.testing.assert_allclose(model(IMAGES, training=False), np.load(files / f"{name[:2]}.npy"), atol=1e-6)


@pytest.mark.parametrize("name", ["k2.weights.h5", "k2.h5", "k3.weights.h5", "k3.h5", "k3.keras"])
def test_layer_that_does_not_fit_is_named_with_both_shapes(name: str, files: Path) -> None:
    def message(model: keras.Model, *, classes_option: bool = False) -> tuple[str, str]:
        before = model.get_weights()
        with pytest.raises(SourceError) as refused:
            load_weights(model, files / name, "own", classes_option=classes_option)
        assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
        assert "0x" not in refused.value.message
        return refused.value.message, str(refused.value.hint)

    text, hint = message(network(keras, classes=6), classes_option=True)
    assert "layer 'classes' has weights of shape (5, 4) in the file, and (5, 6) in the network" in text
    assert hint == "Pass the number of classes of the file: --classes 4"
    assert "--classes" not in message(network(keras, classes=6))[1]
    text, hint = message(network(keras, filters=7), classes_option=True)
    assert "layer 'conv' has weights of shape (3, 3, 3, 5) in the file, and (3, 3, 3, 7) in the network" in text
    assert "--classes" not in hint
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    assert "the file has weights of 4 layers, the network of 1" in message(other)[0]


def test_weights_with_a_head_of_the_users_own_are_recognized(tmp_path: Path) -> None:
    own = keras.Sequential([network(keras), keras.layers.Dense(3)])
    own.save_weights(tmp_path / "own.weights.h5")
    with pytest.raises(SourceError, match="of a network with another one inside it") as refused:
        load_weights(network(keras), tmp_path / "own.weights.h5", "own")
    assert str(refused.value.hint).startswith("Build the network in Python")


def test_layers_with_a_slash_in_their_names_are_no_nested_models(tmp_path: Path) -> None:
    import tf_keras

    old = tf_keras.Sequential([tf_keras.layers.Input((4,)), tf_keras.layers.Dense(2, name="conv1/bn")])
    old.save_weights(tmp_path / "old.h5")  # as DenseNet and MobileNetV3 of Keras 2
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="conv1_bn")])
    with pytest.raises(SourceError, match=r"layer 'conv1_bn' has weights of shape \(4, 2\) in the file"):
        load_weights(other, tmp_path / "old.h5", "own")


@pytest.mark.parametrize("saved_by", ["tf_keras", "keras"])
def test_weights_in_another_order_are_refused(saved_by: str, tmp_path: Path) -> None:
    def nested(library: Any) -> Any:
        layers = library.layers
        norms = [layers.BatchNormalization(name="first"), layers.BatchNormalization(name="second")]
        backbone = library.Sequential([layers.Input((16, 16, 3)), layers.DepthwiseConv2D(3, name="dw"), *norms])
        return library.Sequential([layers.Input((16, 16, 3)), backbone, layers.GlobalAveragePooling2D()])

    frozen = nested(pytest.importorskip(saved_by))
    frozen.layers[0].trainable = False
    frozen.save(tmp_path / "frozen.h5")
    model = nested(keras)
    with pytest.raises(SourceError, match="'first/moving_mean' in place of 'second/gamma'") as refused:
        load_weights(model, tmp_path / "frozen.h5", "own")
    assert "model.save_weights('model.weights.h5')" in str(refused.value.hint)
    model.layers[0].trainable = False
    load_weights(model, tmp_path / "frozen.h5", "own")
    np.testing.assert_allclose(model(IMAGES, training=False), frozen(IMAGES, training=False), atol=1e-6)


@pytest.mark.parametrize("name", ["k2.h5", "k2.keras", "k3.h5"])
def test_weights_replace_those_of_a_model_file(name: str, files: Path, tmp_path: Path) -> None:
    import tf_keras

    library = tf_keras if name.startswith("k2") else keras
    network(library).save(tmp_path / name)
    loaded = load_source(tmp_path / name, str(files / f"{name[:2]}.weights.h5"))
    expected = np.load(files / f"{name[:2]}.npy")
    np.testing.assert_allclose(loaded.model(IMAGES, training=False), expected, atol=1e-6)
    if loaded.predict is not None:
        np.testing.assert_allclose(loaded.predict(IMAGES), expected, atol=1e-6)


@pytest.mark.slow
def test_fine_tuned_application_keeps_its_answers(tmp_path: Path) -> None:
    import tf_keras

    options = {"weights": None, "classes": 7, "input_shape": (32, 32, 3)}
    rng = np.random.default_rng(1)
    new = keras.applications.MobileNet(**options)
    new.set_weights([weight + rng.uniform(0, 0.1, weight.shape) for weight in new.get_weights()])
    new.save_weights(tmp_path / "new.weights.h5")
    old = tf_keras.applications.MobileNet(**options)
    old.set_weights(new.get_weights())
    old.save_weights(tmp_path / "old.h5")
    images = rng.uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    for name, model in (("new.weights.h5", new), ("old.h5", old)):
        loaded = load_source("keras:MobileNet", str(tmp_path / name), size=(32, 32), classes=7)
        np.testing.assert_allclose(loaded.model(images), model(images, training=False), atol=1e-5)
        assert loaded.title == f"keras:MobileNet, size 32x32, 7 classes, weights {name}"
        assert loaded.preprocessing is not None
        assert loaded.preprocessing.scale == PRESETS["tf"].scale
