"""Conversion to inference mode and to float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from support.networks import build_model

from camserve.export.graph.inference import _AUGMENTATION, to_float32, to_inference_mode
from camserve.export.graph.trace import trace

IMAGES = np.random.default_rng(3).normal(size=(4, 8, 8, 3)).astype(np.float32)


def built_for_training(dtype: str = "float32") -> keras.Model:
    image = layers.Input((8, 8, 3), dtype=dtype)
    x = layers.Conv2D(4, 3, dtype=dtype)(image)
    x = layers.BatchNormalization(name="norm", dtype=dtype)(x, training=True)
    x = layers.Dropout(0.5, dtype=dtype)(layers.GlobalAveragePooling2D(dtype=dtype)(x))
    return keras.Model(image, layers.Dense(3, dtype=dtype)(x))


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_inference_mode_survives_saving_with_training_true(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    built_for_training().save(path)
    model = keras.models.load_model(path, compile=False)
    one, three = (np.asarray(model(IMAGES[:n]))[0] for n in (1, 3))
    assert np.abs(one - three).max() > 1e-3, "the test requires a model that depends on its batch"
    network, frozen = to_inference_mode(trace(model))
    fixed = build_model(network)
    one, three = (np.asarray(fixed(IMAGES[:n]))[0] for n in (1, 3))
    np.testing.assert_allclose(one, three, atol=1e-6)
    assert frozen.norms == ("norm",)


def test_dropout_is_removed() -> None:
    network, _ = to_inference_mode(trace(built_for_training()))
    assert [step.kind for step in network.steps] == ["Conv2D", "BatchNormalization", "GlobalAveragePooling2D", "Dense"]


FACTORS: dict[str, dict[str, Any]] = {
    "RandomPosterization": {"factor": 4},
    "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
    "RandomZoom": {"height_factor": 0.2},
}


@pytest.mark.parametrize("kind", _AUGMENTATION)
def test_removed_augmentation_has_no_effect_at_inference(kind: type) -> None:
    images = np.random.default_rng(4).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    try:
        layer = kind(**FACTORS.get(kind.__name__, {}))
    except TypeError:
        layer = kind(factor=0.2)  # a required argument of most of them
    np.testing.assert_array_equal(layer(images, training=False), images)


def test_augmentation_is_not_reported_as_built_for_training() -> None:
    image = layers.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(layers.RandomFlip()(image))
    network, found = to_inference_mode(trace(keras.Model(image, x)))
    assert [step.kind for step in network.steps] == ["Conv2D"]
    assert found.noise == ()


def test_layers_called_with_training_true_are_named() -> None:
    class Quiet(layers.Dropout):  # type: ignore[misc]
        """A subclass that computes like Dropout."""

    image = layers.Input((8, 8, 3))
    x = layers.BatchNormalization(name="norm")(image, training=True)
    x = layers.GlobalAveragePooling2D()(Quiet(0.5, name="quiet")(x, training=True))
    x = layers.Reshape((3,))(layers.GRU(3, name="rows")(layers.Reshape((1, 3))(x), training=True))
    network, found = to_inference_mode(trace(keras.Model(image, x)))
    assert (found.norms, found.noise, found.others) == (("norm",), ("quiet",), ("rows",))
    assert "Quiet" not in [step.kind for step in network.steps]


def test_adapted_normalization_is_kept_in_float32() -> None:
    normalization = layers.Normalization(dtype="float64")
    normalization.adapt(IMAGES)
    image = layers.Input((8, 8, 3), dtype="float64")
    network = trace(keras.Model(image, normalization(image)))
    np.testing.assert_allclose(
        build_model(to_float32(network))(IMAGES), build_model(network)(IMAGES), rtol=1e-5, atol=1e-5
    )


def test_float64_weights_are_rounded_to_float32() -> None:
    model = built_for_training("float64")
    network, _ = to_inference_mode(trace(model))
    single = to_float32(network)
    assert single.dtype == "float32"
    assert {step.operation.compute_dtype for step in single.steps} == {"float32"}
    expected = build_model(network)(IMAGES.astype(np.float64))
    np.testing.assert_allclose(build_model(single)(IMAGES), expected, rtol=1e-4, atol=1e-5)


def test_float32_layers_are_shared() -> None:
    network, _ = to_inference_mode(trace(built_for_training()))
    assert all(a.operation is b.operation for a, b in zip(network.steps, to_float32(network).steps, strict=True))
