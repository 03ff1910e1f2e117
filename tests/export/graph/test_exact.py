"""Evaluation in float64: the network's own answers, and layers that cannot be evaluated so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from support.networks import build_model, draw_weights, small_network
from support.odd_layers import Backbone, Block
from support.odd_models import classifier, dense

from camserve.contract import PRESETS
from camserve.export.graph.exact import Truth, find_truth
from camserve.export.graph.inference import to_float64
from camserve.export.graph.prepare import prepare
from camserve.export.graph.reference import KerasReference

IMAGES = np.random.default_rng(0).uniform(0, 1, (2, 8, 8, 3)).astype(np.float32)


def truth_of(model: keras.Model, images: Any = IMAGES) -> Truth:
    return find_truth(prepare(model, cam=True, top_k=3, all_classes=False).reference, images)


def numpy_answers(model: keras.Model, images: Any) -> Any:
    """Compute a convolution, BatchNorm, ReLU, average pooling and softmax in NumPy, in float64."""
    values: list[Any] = [np.asarray(value, np.float64) for value in model.get_weights()]
    kernel, bias, gamma, beta, mean, variance, weights, offsets = values
    padded = np.pad(images.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    x = sum(padded[:, i : i + 8, j : j + 8] @ kernel[i, j] for i in range(3) for j in range(3)) + bias
    x = (x - mean) / np.sqrt(variance + model.layers[2].epsilon) * gamma + beta
    logits = np.maximum(x, 0).mean(axis=(1, 2)) @ weights + offsets
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_float64_answers_are_those_of_numpy() -> None:
    image = layers.Input((8, 8, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(image)))
    model = keras.Model(image, dense(x))
    rng = np.random.default_rng(1)
    model.layers[2].set_weights([rng.uniform(0.5, 1.5, 4) for _ in range(4)])
    truth, expected = truth_of(model), numpy_answers(model, IMAGES)
    assert truth.obstacle is None
    np.testing.assert_allclose(truth.exact(IMAGES).probabilities, expected, rtol=0, atol=1e-14)
    assert 1e-10 < np.abs(truth.keras(IMAGES).probabilities - expected).max() < 1e-6


def test_keras_answers_are_those_of_the_model() -> None:
    model = draw_weights(small_network(), PRESETS["unit"], 0)
    images = np.random.default_rng(0).uniform(0, 1, (3, 16, 16, 3)).astype(np.float32)
    answers = truth_of(model, images).keras(images)
    np.testing.assert_allclose(answers.probabilities, model(images), rtol=0, atol=1e-6)


def test_inner_layers_of_a_custom_layer_are_float64() -> None:
    truth = truth_of(classifier(dense, Block()))
    assert (truth.obstacle, truth.rounded) == (None, ())


class Fixed(layers.Layer):  # type: ignore[misc]
    """A layer that adds a float32 constant in TensorFlow, which fails in any other precision."""

    def call(self, x: Any) -> Any:
        return tf.add(x, tf.constant(1.0, tf.float32))


class Forgetful(layers.Layer):  # type: ignore[misc]
    """A layer whose configuration lacks an argument."""

    def __init__(self, power: float = 1.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.power = power

    def call(self, x: Any) -> Any:
        return keras.ops.power(x, self.power)

    def get_config(self) -> dict[str, Any]:
        return dict(super().get_config())


class Rounding(layers.Layer):  # type: ignore[misc]
    """A layer with a weight that returns float32 in any precision."""

    def build(self, shape: Any) -> None:
        self.shift = self.add_weight(shape=(shape[-1],))

    def call(self, x: Any) -> Any:
        return keras.ops.cast(x + self.shift, "float32")


class Undefined(layers.Layer):  # type: ignore[misc]
    """A layer that divides by a number that is 0 in float64 only."""

    def call(self, x: Any) -> Any:
        half = 0.5 if keras.backend.standardize_dtype(x.dtype) == "float64" else 0.0
        return x / keras.ops.cast(0.5 - half, x.dtype)


class Masked(layers.Layer):  # type: ignore[misc]
    """A layer that returns a mask with -inf and multiplies by another number in float64."""

    def call(self, x: Any) -> Any:
        factor = 2 if keras.backend.standardize_dtype(x.dtype) == "float64" else 1
        return keras.ops.where(x < 0.1, -np.inf, factor * x)


@pytest.mark.parametrize(
    ("layer", "obstacle"),
    [
        (Fixed(name="fixed"), r"layer 'fixed' \(Fixed\) cannot run in float64: "),
        (Forgetful(2.0, name="square"), r"layer 'square' \(Forgetful\) computes something else if it is rebuilt"),
        (Undefined(name="undefined"), r"layer 'undefined' \(Undefined\) is finite in only one of float32 and float64"),
        (Backbone(), r"cannot rebuild layer 'backbone"),
    ],
    ids=["fixed", "forgetful", "undefined", "subclassed"],
)
def test_layer_that_float64_changes_is_named(layer: Any, obstacle: str) -> None:
    model = classifier(dense, layer)
    truth = truth_of(model)
    assert truth.obstacle is not None
    with pytest.raises(AssertionError, match=obstacle):
        raise AssertionError(truth.obstacle)
    np.testing.assert_allclose(truth.exact(IMAGES).probabilities, model(IMAGES), rtol=0, atol=1e-6)


def test_layer_is_compared_where_it_is_finite() -> None:
    obstacle = truth_of(classifier(dense, Masked(name="masked"))).obstacle
    assert obstacle is not None
    assert "layer 'masked' (Masked) computes something else if it is rebuilt in float64" in obstacle


def test_layer_that_returns_float32_is_reported() -> None:
    truth = truth_of(classifier(dense, Rounding(name="rounding")))
    assert (truth.obstacle, truth.rounded) == (None, ("rounding",))


def test_model_in_float64_is_its_own_truth() -> None:
    keras.config.set_dtype_policy("float64")
    try:
        model = draw_weights(small_network(), PRESETS["unit"], 0)
    finally:
        keras.config.set_dtype_policy("float32")
    images = np.random.default_rng(0).uniform(0, 1, (2, 16, 16, 3)).astype(np.float32)
    truth = truth_of(model, images)
    np.testing.assert_array_equal(truth.exact(images).probabilities, model(images.astype(np.float64)))
    assert np.abs(truth.keras(images).probabilities - truth.exact(images).probabilities).max() > 1e-9


def test_default_precision_is_restored() -> None:
    to_float64(prepare(classifier(dense), cam=False, top_k=1, all_classes=False).reference.network)
    assert keras.config.dtype_policy().name == "float32"
    assert layers.Dense(1).compute_dtype == "float32"


def test_float64_network_is_a_model_of_float64_layers() -> None:
    reference = prepare(classifier(dense), cam=False, top_k=1, all_classes=False).reference
    double: KerasReference = replace(reference, network=to_float64(reference.network))
    assert build_model(double.network)(IMAGES).dtype == "float64"
    assert {step.operation.compute_dtype for step in double.network.steps} == {"float64"}
