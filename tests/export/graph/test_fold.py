"""Folding of BatchNorm."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from support.networks import build_model

from camserve.export.graph.fold import fold, foldable
from camserve.export.graph.inference import to_float32, to_inference_mode
from camserve.export.graph.network import run
from camserve.export.graph.trace import trace

PAIRS = int(os.environ.get("CAMSERVE_FOLD_PAIRS", "50"))
"""Number of random pairs; 500 for a complete run."""

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


def difference(model: keras.Model, other: keras.Model) -> float:
    expected = np.asarray(model(IMAGES, training=False), np.float64)
    return float(np.abs(np.asarray(other(IMAGES, training=False)) - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("norm", [{}, {"scale": False}, {"center": False}, {"epsilon": 0.1}], ids=str)
def test_folding_keeps_the_outputs(kind: str, norm: dict[str, Any]) -> None:
    model = pair(LINEAR[kind](), **norm)
    folded, report = fold(trace(model))
    assert len(report.folded) == 1
    assert [step.kind for step in folded.steps if step.kind == "BatchNormalization"] == []
    assert difference(model, build_model(folded)) <= 1e-5


def test_folding_does_not_change_the_original() -> None:
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


def test_missing_mean_changes_the_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    from camserve.export.graph import fold as module

    original = module.scale_and_shift

    def without_mean(norm: Any) -> Any:
        scale, _ = original(norm)
        return scale, module.to_float64(norm.beta)

    monkeypatch.setattr(module, "scale_and_shift", without_mean)
    model = pair(layers.Conv2D(8, 3))
    assert difference(model, build_model(fold(trace(model))[0])) > 1e-2


def reason_kept(build_tail: Callable[[Any], Any]) -> str:
    image = layers.Input((9, 9, 6))
    model = randomize(keras.Model(image, build_tail(image)))
    folded, report = fold(trace(model))
    assert report.folded == ()
    assert [step.kind for step in folded.steps if "BatchNormalization" in step.kind] == []
    assert difference(model, build_model(folded)) <= 1e-6
    ((_, reason),) = report.kept
    return reason


def test_unfoldable_batchnorm_is_kept_with_a_reason() -> None:
    def read_twice(image: Any) -> Any:
        x = layers.Conv2D(6, 1, name="fork")(image)
        return layers.add([x, layers.BatchNormalization()(x)])

    assert "first layer" in reason_kept(layers.BatchNormalization())
    assert "MaxPooling2D" in reason_kept(lambda x: layers.BatchNormalization()(layers.MaxPooling2D()(x)))
    assert "has an activation" in reason_kept(
        lambda x: layers.BatchNormalization()(layers.Conv2D(6, 1, activation="relu")(x))
    )
    assert "the output of 'fork' has other readers" in reason_kept(read_twice)
    assert "another axis" in reason_kept(lambda x: layers.BatchNormalization(axis=1)(layers.Conv2D(6, 1)(x)))


def test_shared_convolution_is_not_folded() -> None:
    shared = layers.Conv2D(6, 1, name="shared")

    def twice(image: Any) -> Any:
        return layers.add([layers.BatchNormalization()(shared(image)), shared(layers.ReLU()(image))])

    assert "'shared'" in reason_kept(twice)


def random_linear(rng: np.random.Generator) -> tuple[str, Any]:
    """Return a random layer into which BatchNorm folds, for features `[7, 8, 6]`."""
    kind = str(rng.choice([*RANDOM]))
    size, bias = int(rng.integers(1, 4)), bool(rng.random() < 0.5)
    stride, dilation = (int(rng.integers(1, 4)), 1) if rng.random() < 0.5 else (1, int(rng.integers(1, 3)))
    filters, padding = int(rng.choice([1, 6, 12])), str(rng.choice(["same", "valid"]))
    options = {"kernel_size": size, "padding": padding, "use_bias": bias, "dtype": "float64"}
    spread = {"strides": stride, "dilation_rate": dilation}
    return kind, RANDOM[kind](rng, filters, options, spread)


def grouped(kind: type) -> Callable[..., Any]:
    def make(rng: np.random.Generator, filters: int, options: dict[str, Any], spread: dict[str, Any]) -> Any:
        groups = int(rng.choice([1, 1, 1, 2, 3, 6])) if filters > 1 else 1
        return kind(filters, groups=groups, **options, **spread)

    return make


RANDOM: dict[str, Callable[..., Any]] = {
    "Conv1D": grouped(layers.Conv1D),
    "Conv2D": grouped(layers.Conv2D),
    "Conv2DTranspose": lambda rng, filters, options, spread: layers.Conv2DTranspose(
        filters, **options, strides=spread["strides"]
    ),
    "Dense": lambda rng, filters, options, spread: layers.Dense(
        filters, use_bias=options["use_bias"], dtype=options["dtype"]
    ),
    "DepthwiseConv2D": lambda rng, filters, options, spread: layers.DepthwiseConv2D(
        depth_multiplier=int(rng.integers(1, 4)), **options, **spread
    ),
    "SeparableConv2D": lambda rng, filters, options, spread: layers.SeparableConv2D(
        filters, depth_multiplier=int(rng.integers(1, 4)), **options, **spread
    ),
}


def random_norm(rng: np.random.Generator) -> Any:
    return layers.BatchNormalization(
        scale=bool(rng.random() < 0.8),
        center=bool(rng.random() < 0.8),
        epsilon=float(rng.choice([1e-3, 1e-5, 1e-7])),
        dtype="float64",
    )


def statistics(rng: np.random.Generator, norm: Any) -> None:
    """Set random statistics as training may leave them, with zero and constant channels."""
    size = norm.moving_mean.shape
    norm.moving_mean.assign(rng.normal(0, 2, size))
    norm.moving_variance.assign(rng.uniform(0, 3, size) * rng.choice([1.0, 1e-6, 1e-12, 0.0], size))
    if norm.scale:
        norm.gamma.assign(rng.normal(size=size) * rng.choice([1.0, 1.0, 1e-4, 0.0], size))
    if norm.center:
        norm.beta.assign(rng.normal(size=size))


def random_pair(seed: int) -> tuple[str, keras.Model]:
    """Return a pair in float64, the reference for float32."""
    rng = np.random.default_rng(seed)
    kind, linear = random_linear(rng)
    norm = random_norm(rng)
    image = layers.Input((7, 8, 6), dtype="float64")
    x = layers.Reshape((56, 6), dtype="float64")(image) if kind == "Conv1D" else image
    x = layers.Dropout(0.5, dtype="float64")(linear(x)) if rng.random() < 0.3 else linear(x)
    model = keras.Model(image, norm(x))
    linear.set_weights([rng.normal(size=weight.shape) for weight in linear.get_weights()])
    statistics(rng, norm)
    return kind, model


def test_random_pairs_fold_to_float32_rounding() -> None:
    images = np.random.default_rng(5).normal(size=(2, 7, 8, 6))
    seen = set()
    for seed in range(PAIRS):
        kind, model = random_pair(seed)
        network, _ = to_inference_mode(trace(model))
        folded, report = fold(network)
        assert len(report.folded) == 1, f"pair {seed}, {kind}"
        single = to_float32(folded)
        (expected,) = (np.asarray(value) for value in run(network, images, [network.output]))
        (output,) = (np.asarray(value) for value in run(single, images.astype(np.float32), [single.output]))
        error = np.abs(output - expected).max() / max(np.abs(expected).max(), 1e-30)
        assert error <= 1e-5, f"pair {seed}, {kind}"
        assert fold(folded)[0] == folded, f"pair {seed}, {kind}"
        seen.add(kind)
    assert seen == set(RANDOM)


def test_folding_ignores_dropout_in_between() -> None:
    image = layers.Input((9, 9, 6))
    x = layers.SpatialDropout2D(0.2)(layers.Conv2D(6, 3)(image))
    model = randomize(keras.Model(image, layers.BatchNormalization()(x)))
    network, _ = to_inference_mode(trace(model))
    folded, report = fold(network)
    assert [step.kind for step in folded.steps] == ["Conv2D"]
    assert len(report.folded) == 1
    assert difference(model, build_model(folded)) <= 1e-5


def test_folding_a_kept_batchnorm_again_changes_nothing() -> None:
    image = layers.Input((9, 9, 6))
    model = randomize(keras.Model(image, layers.BatchNormalization()(layers.MaxPooling2D()(image))))
    once, _ = fold(trace(model))
    twice, report = fold(once)
    assert twice == once
    assert report.folded == ()
