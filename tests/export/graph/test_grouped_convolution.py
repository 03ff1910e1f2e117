"""Grouped convolutions in TensorFlow's operators compute what Keras compiles with XLA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from camserve.export.graph.exact import find_truth
from camserve.export.graph.grouped_convolution import call_without_xla
from camserve.export.graph.network import Network, run
from camserve.export.graph.prepare import prepare
from camserve.export.graph.trace import trace

IMAGES = np.random.default_rng(0).normal(size=(2, 9, 8, 6)).astype(np.float32)

CONVOLUTIONS: dict[str, Callable[[], Any]] = {
    "depthwise": lambda: layers.Conv2D(6, 3, groups=6, padding="same", activation="gelu"),
    "two filters for each channel": lambda: layers.Conv2D(12, (3, 2), groups=6, strides=2, padding="same"),
    "depthwise, dilated": lambda: layers.Conv2D(6, 3, groups=6, dilation_rate=2, use_bias=False),
    "depthwise, uneven strides": lambda: layers.Conv2D(6, 3, groups=6, strides=(2, 1)),
    "two groups": lambda: layers.Conv2D(8, 3, groups=2, activation="relu"),
    "three groups, strides": lambda: layers.Conv2D(3, 3, groups=3, strides=2, padding="same"),
    "two groups, dilated": lambda: layers.Conv2D(4, 2, groups=2, dilation_rate=(1, 3), padding="same"),
}


def network_of(layer: Any) -> Network:
    image = layers.Input((9, 8, 6))
    return trace(keras.Model(image, layers.Dense(3)(layers.GlobalMaxPooling2D()(layer(image)))))


class Halved(layers.Conv2D):  # type: ignore[misc]
    """A convolution that computes otherwise."""

    def call(self, inputs: Any) -> Any:
        return super().call(inputs) / 2


def refuse_compilation(*_: Any, **settings: Any) -> Any:
    raise AssertionError(f"compiled with {settings}")


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_result_is_that_of_the_layer_without_compilation(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = CONVOLUTIONS[name]()
    network = network_of(layer)
    if layer.bias is not None:
        layer.bias.assign(np.linspace(-1, 1, layer.filters))
    (value,) = network.steps[0].outputs
    (expected,) = run(network, IMAGES, [value])
    monkeypatch.setattr(tf, "function", refuse_compilation)
    (result,) = run(network, IMAGES, [value], call=call_without_xla(network))
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, atol=1e-6)
    with pytest.raises(AssertionError, match=r"compiled with .*jit_compile"):
        run(network, IMAGES, [value])


def test_subclass_runs_as_it_is() -> None:
    network = network_of(Halved(6, 3, groups=2))
    (value,) = network.steps[0].outputs
    (expected,), (result,) = (run(network, IMAGES, [value], call=call) for call in (None, call_without_xla(network)))
    np.testing.assert_array_equal(result, expected)


def test_float64_reference_is_that_of_the_model() -> None:
    image = layers.Input((9, 8, 6))
    x = layers.Conv2D(12, 3, groups=6, activation="silu")(layers.Conv2D(6, 3, groups=3, padding="same")(image))
    model = keras.Model(image, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(x)))
    truth = find_truth(prepare(model, cam=True, top_k=2, all_classes=False).reference, IMAGES[:1])
    assert truth.obstacle is None
    exact, single = truth.exact(IMAGES), truth.keras(IMAGES)
    assert 0 < np.abs(exact.logits - single.logits).max() < 1e-6
    np.testing.assert_allclose(exact.probabilities, model(IMAGES), atol=1e-6)
