"""Architectures in JSON, with their weights beside them or in any other file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from camserve.errors import SourceError, UsageError
from camserve.export.source.load import load_source

IMAGES = np.random.default_rng(4).normal(size=(2, 16, 16, 3)).astype(np.float32)


def network(library: Any, *extra: Any) -> Any:
    layers = library.layers
    image = x = layers.Input((16, 16, 3))
    for layer in (layers.Conv2D(5, 3), layers.BatchNormalization(), *extra, layers.GlobalAveragePooling2D()):
        x = layer(x)
    if library is not keras:
        x = x * 2.0  # an operation of TensorFlow, which only tf_keras reads
    model = library.Model(image, layers.Dense(4, "softmax")(x), name="own")
    model.compile("adam", "categorical_crossentropy")
    return model


@pytest.fixture(params=["Keras 2", "Keras 3"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    import tf_keras

    model = network(tf_keras if request.param == "Keras 2" else keras)
    (tmp_path / "net.json").write_text(model.to_json())
    return model


def check_answers(source: Path, model: Any, weights: str | None = None) -> str:
    loaded = load_source(source, weights)
    expected = np.asarray(model(IMAGES, training=False))
    np.testing.assert_allclose(loaded.model(IMAGES, training=False), expected, atol=1e-6)
    if loaded.predict is not None:
        np.testing.assert_allclose(loaded.predict(IMAGES), expected, atol=1e-6)
    return loaded.title


@pytest.mark.parametrize("name", ["net.weights.h5", "net.h5", "net_weights.h5"])
def test_weights_beside_an_architecture_are_found(name: str, model: Any, tmp_path: Path) -> None:
    if name == "net.h5":
        model.save(tmp_path / name)
    else:
        model.save_weights(tmp_path / "new.weights.h5")
        (tmp_path / "new.weights.h5").rename(tmp_path / name)
    assert check_answers(tmp_path / "net.json", model) == f"net.json, weights {name}"


def test_weights_of_an_architecture_can_be_given(model: Any, tmp_path: Path) -> None:
    model.save_weights(tmp_path / "best.weights.h5")
    with pytest.raises(UsageError, match=r"no net\.weights\.h5, net\.h5, .* is beside it") as refused:
        load_source(tmp_path / "net.json")
    assert refused.value.hint == f"Pass the weights: --weights {tmp_path / 'best.weights.h5'}"
    check_answers(tmp_path / "net.json", model, str(tmp_path / "best.weights.h5"))


@pytest.mark.parametrize("write", [lambda text: f"\ufeff{text}", json.dumps, lambda text: f"\n{text}"])
def test_architectures_are_read_however_they_were_written(write: Any, model: Any, tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text(write(model.to_json()), encoding="utf-8")
    model.save_weights(tmp_path / "net.weights.h5")
    check_answers(tmp_path / "net.json", model)


def test_random_weights_of_an_architecture_are_deterministic(model: Any, tmp_path: Path) -> None:
    first, second = (load_source(tmp_path / "net.json", "none").model.get_weights() for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_two_weights_files_beside_an_architecture_are_ambiguous(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text(network(keras).to_json())
    (tmp_path / "net.h5").touch()
    (tmp_path / "net.weights.h5").touch()
    with pytest.raises(UsageError, match=r"ambiguous: net\.weights\.h5 and net\.h5 are beside it"):
        load_source(tmp_path / "net.json")


def test_weights_none_is_the_only_word_for_an_architecture(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text(network(keras).to_json())
    with pytest.raises(UsageError, match=r"net\.json is an architecture of your own"):
        load_source(tmp_path / "net.json", "imagenet")


def test_code_in_an_architecture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text(network(keras, keras.layers.Lambda(lambda x: x * 2)).to_json())
    with pytest.raises(SourceError, match="Lambda"):
        load_source(tmp_path / "net.json", "none")
