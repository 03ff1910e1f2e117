from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from camserve.export.fold import fold, foldable
from camserve.export.network import build, trace

IMAGES = np.random.default_rng(1).normal(size=(3, 9, 9, 6)).astype(np.float32)

LINEAR: dict[str, Callable[[], Any]] = {
    "convolution": lambda: layers.Conv2D(8, 3, padding="same"),
    "without-bias": lambda: layers.Conv2D(8, 1, use_bias=False),
    "strided": lambda: layers.Conv2D(8, 3, strides=2, padding="same"),
    "dilated": lambda: layers.Conv2D(8, 3, dilation_rate=2),
    "grouped": lambda: layers.Conv2D(8, 3, groups=2),
    "depthwise": lambda: layers.DepthwiseConv2D(3, depth_multiplier=2),
    "separable": lambda: layers.SeparableConv2D(8, 3, depth_multiplier=2),
    "transposed": lambda: layers.Conv2DTranspose(8, 3, strides=2),
    "dense": lambda: layers.Dense(8),
}


def randomize(model: keras.Model, seed: int = 0) -> keras.Model:
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            size = layer.moving_mean.shape
            layer.moving_mean.assign(rng.normal(0, 2, size))
            layer.moving_variance.assign(rng.uniform(1e-6, 3, size))
            if layer.center:
                layer.beta.assign(rng.normal(size=size))
            if layer.scale:
                layer.gamma.assign(rng.normal(size=size) * (rng.random(size) > 0.1))
        elif layer.weights:
            layer.set_weights([rng.normal(size=weight.shape) for weight in layer.get_weights()])
    return model


def pair(linear: Any, **norm: Any) -> keras.Model:
    image = layers.Input((9, 9, 6))
    x = layers.BatchNormalization(**norm)(linear(image))
    return randomize(keras.Model(image, layers.Activation("relu")(x)))


def same(model: keras.Model, other: keras.Model) -> float:
    expected = np.asarray(model(IMAGES, training=False), np.float64)
    return float(np.abs(np.asarray(other(IMAGES, training=False)) - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("norm", [{}, {"scale": False}, {"center": False}, {"epsilon": 0.1}], ids=str)
def test_a_folded_network_says_what_it_said(kind: str, norm: dict[str, Any]) -> None:
    model = pair(LINEAR[kind](), **norm)
    folded, report = fold(trace(model))
    assert len(report.folded) == 1
    assert [step.kind for step in folded.steps if step.kind == "BatchNormalization"] == []
    assert same(model, build(folded)) <= 1e-5


def test_folding_leaves_the_original_as_it_was() -> None:
    model = pair(layers.Conv2D(8, 3))
    before = model(IMAGES, training=False)
    fold(trace(model))
    np.testing.assert_array_equal(model(IMAGES, training=False), before)


def test_folding_twice_changes_nothing() -> None:
    once, _ = fold(trace(pair(layers.Conv2D(8, 3))))
    twice, report = fold(once)
    assert twice == once
    assert report.folded == ()
    assert foldable(once) == []


def test_forgetting_the_mean_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from camserve.export import fold as module

    right = module._scale_and_shift

    def without_mean(norm: Any) -> Any:
        scale, _ = right(norm)
        return scale, module._float64(norm.beta)

    monkeypatch.setattr(module, "_scale_and_shift", without_mean)
    model = pair(layers.Conv2D(8, 3))
    assert same(model, build(fold(trace(model))[0])) > 1e-2


def kept_because(build_tail: Callable[[Any], Any]) -> str:
    image = layers.Input((9, 9, 6))
    model = randomize(keras.Model(image, build_tail(image)))
    folded, report = fold(trace(model))
    assert report.folded == ()
    assert same(model, build(folded)) == 0.0
    ((_, reason),) = report.kept
    return reason


def test_what_cannot_be_folded_stays_and_says_why() -> None:
    def read_twice(image: Any) -> Any:
        x = layers.Conv2D(6, 1, name="fork")(image)
        return layers.add([x, layers.BatchNormalization()(x)])

    assert "input" in kept_because(layers.BatchNormalization())
    assert "MaxPooling2D" in kept_because(lambda x: layers.BatchNormalization()(layers.MaxPooling2D()(x)))
    assert "activation" in kept_because(
        lambda x: layers.BatchNormalization()(layers.Conv2D(6, 1, activation="relu")(x))
    )
    assert "'fork' has other readers" in kept_because(read_twice)
    assert "another axis" in kept_because(lambda x: layers.BatchNormalization(axis=1)(layers.Conv2D(6, 1)(x)))


def test_a_shared_convolution_is_not_folded() -> None:
    shared = layers.Conv2D(6, 1, name="shared")

    def twice(image: Any) -> Any:
        return layers.add([layers.BatchNormalization()(shared(image)), shared(layers.ReLU()(image))])

    assert "'shared'" in kept_because(twice)
