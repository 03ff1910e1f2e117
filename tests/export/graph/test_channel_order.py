"""Networks that take RGB in place of BGR: where the reversal can be moved into the weights, and where it must stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from camserve.contract import PRESETS, Preprocessing
from camserve.export.graph.channel_order import take_rgb
from camserve.export.graph.fold import fold
from camserve.export.graph.inference import to_float64, to_inference_mode
from camserve.export.graph.network import Network, run
from camserve.export.graph.trace import trace
from camserve.pixels import normalize

PIXELS = np.random.default_rng(2).integers(0, 256, (2, 9, 9, 3), np.uint8)
BGR = PRESETS["raw-bgr"]
COLORS = np.array([2.0, 4.0, 8.0], np.float32)

Build = Callable[[Any], Any]


def after(first: Callable[[], Any], *others: Callable[[], Any]) -> Build:
    """Return the layers in sequence."""

    def build(x: Any) -> Any:
        for make in (first, *others):
            x = make()(x)
        return x

    return build


def conv() -> Any:
    return layers.Conv2D(4, 3)


def adapted() -> Any:
    layer = layers.Normalization(axis=-1)
    layer.build((None, 9, 9, 3))
    return layer


CHANGED: dict[str, Build] = {
    "convolution": after(conv),
    "without bias": after(lambda: layers.Conv2D(4, 3, use_bias=False, strides=2, padding="same")),
    "padding": after(lambda: layers.ZeroPadding2D(((3, 2), (1, 0))), conv),
    "dilated": after(lambda: layers.Conv2D(4, 3, dilation_rate=2, activation="softmax")),
    "pooled": after(lambda: layers.AveragePooling2D(2), lambda: layers.MaxPooling2D(1), conv),
    "cropped": after(lambda: layers.Cropping2D(1), lambda: layers.CenterCrop(5, 5), conv),
    "resized": after(lambda: layers.Resizing(18, 18, interpolation="nearest"), conv),
    "rescaled": after(lambda: layers.Rescaling(0.5, -3), conv),
    "rescaled by channel": after(lambda: layers.Rescaling([0.5, 2, 4], [1.0, 2.0, 3.0]), conv),
    "normalized": after(adapted, conv),
    "normalized by constants": after(lambda: layers.Normalization(mean=[1.0, 2, 3], variance=[4.0, 16, 64]), conv),
    "BatchNorm first": after(layers.BatchNormalization, conv),
    "arithmetic": lambda x: conv()(ops.cast((x - COLORS) / COLORS * 2, "float32")),
    "several readers": lambda x: layers.add([conv()(x), layers.Conv2D(4, 5)(layers.ZeroPadding2D(1)(x))]),
}


def shared_convolution(x: Any) -> Any:
    shared = layers.Conv2D(3, 3, padding="same")
    return shared(shared(x))


def shared_between_branches(x: Any) -> Any:
    shared = conv()
    return layers.add([shared(x), shared(layers.MaxPooling2D(1)(x))])


@keras.saving.register_keras_serializable("tests")
class Own(layers.Conv2D):  # type: ignore[misc]
    """A subclass, which may compute otherwise."""


def with_lora() -> Any:
    layer = layers.Conv2D(4, 3)
    layer.build((None, 9, 9, 3))
    layer.enable_lora(2)
    return layer


def mean_of_each_position() -> Any:
    ones = np.ones((9, 9, 3))
    return layers.Normalization(axis=(1, 2, 3), mean=ones, variance=ones)


UNCHANGED: dict[str, Build] = {
    "first layer called twice": shared_convolution,
    "first layer called in two branches": shared_between_branches,
    "input added to channels": lambda x: layers.add([x, layers.Conv2D(3, 3, padding="same")(x)]),
    "input concatenated": lambda x: layers.concatenate([x, layers.Conv2D(3, 3, padding="same")(x)]),
    "subclass of a convolution": after(lambda: Own(4, 3)),
    "LoRA": after(with_lora),
    "activation without configuration": after(lambda: layers.Conv2D(4, 3, activation=lambda x: x * 2)),
    "regularizer without configuration": after(
        lambda: layers.Conv2D(4, 3, kernel_regularizer=lambda w: 0.1 * ops.sum(w))
    ),
    "groups": after(lambda: layers.Conv2D(6, 3, groups=3), conv),
    "depthwise": after(lambda: layers.DepthwiseConv2D(3), conv),
    "channels first": after(lambda: layers.ZeroPadding2D(1, data_format="channels_first"), conv),
    "norm of rows": after(lambda: layers.BatchNormalization(axis=1), conv),
    "reshaped": after(lambda: layers.Reshape((27, 9, 1)), conv),
    "own reversal": lambda x: conv()(x[..., ::-1]),
    "mean of each position": after(mean_of_each_position, conv),
    "slope of each channel": after(layers.PReLU, conv),
    "maximum over channels": lambda x: conv()(ops.max(x, axis=-1, keepdims=True)),
}


def network_of(build: Build) -> Network:
    """Return a network with small whole numbers as weights, so that float32 computes its sums without rounding."""
    image = layers.Input((9, 9, 3))
    model = keras.Model(image, build(image))
    rng = np.random.default_rng(5)
    for layer in model.layers:
        layer.set_weights([rng.integers(-3, 4, weight.shape) for weight in layer.get_weights()])
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_variance.assign(np.resize([4.0, 16.0, 64.0], layer.moving_variance.shape))
            layer.epsilon = 0.0
        if isinstance(layer, layers.Normalization) and layer.input_mean is None:
            layer.set_weights([np.array([1.0, 2.0, 3.0]), np.array([4.0, 16.0, 64.0]), np.array(1)])
            layer.finalize_state()
    return fold(to_inference_mode(trace(model))[0])[0]


def answers(network: Network, preprocessing: Preprocessing) -> Any:
    image = normalize(PIXELS, preprocessing).astype(network.dtype)
    return np.asarray(run(network, image, [network.output])[0])


@pytest.mark.parametrize("name", CHANGED)
def test_network_that_takes_rgb_gives_the_same_answers(name: str) -> None:
    network = network_of(CHANGED[name])
    changed, preprocessing = take_rgb(network, BGR, [network.output])
    assert preprocessing.color == "rgb"
    expected, found = answers(network, BGR), answers(changed, preprocessing)
    assert np.ptp(expected) > 0
    assert not np.array_equal(expected, answers(network, preprocessing))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", UNCHANGED)
def test_reversal_stays_where_a_step_cannot_be_reordered(name: str) -> None:
    network = network_of(UNCHANGED[name])
    assert take_rgb(network, BGR, [network.output]) == (network, BGR)


def test_reversal_stays_if_a_reordered_value_is_read_outside() -> None:
    network = network_of(CHANGED["padding"])
    features = network.steps[0].outputs[0]
    assert take_rgb(network, BGR, [features, network.output]) == (network, BGR)


@pytest.mark.parametrize("color", ["rgb", "gray"])
def test_other_color_orders_change_nothing(color: str) -> None:
    preprocessing = PRESETS["unit"] if color == "rgb" else PRESETS["unit"].in_gray()
    network = network_of(CHANGED["convolution"])
    assert take_rgb(network, preprocessing, [network.output]) == (network, preprocessing)


def test_operands_of_the_preprocessing_are_reversed() -> None:
    bgr = Preprocessing(color="bgr", scale=(2.0, 4.0, 8.0), mean=(1.0, 2.0, 3.0), std=(5.0, 6.0, 7.0))
    network = network_of(CHANGED["convolution"])
    _, rgb = take_rgb(network, bgr, [network.output])
    np.testing.assert_array_equal(normalize(PIXELS, rgb), normalize(PIXELS, bgr)[..., ::-1])


def test_no_weight_changes_its_value() -> None:
    network = network_of(CHANGED["normalized"])
    before = [np.sort(weight, axis=None) for layer in network.layers for weight in layer.get_weights()]
    changed, _ = take_rgb(network, BGR, [network.output])
    for weight, sorted_before in zip(
        (weight for layer in changed.layers for weight in layer.get_weights()), before, strict=True
    ):
        np.testing.assert_array_equal(np.sort(weight, axis=None), sorted_before)
    assert [step.name for step in changed.steps] == [step.name for step in network.steps]


def test_original_network_is_not_changed() -> None:
    network = network_of(CHANGED["padding"])
    before = answers(network, BGR)
    take_rgb(network, BGR, [network.output])
    np.testing.assert_array_equal(answers(network, BGR), before)


def test_random_weights_differ_in_float64_only_by_rounding() -> None:
    image = layers.Input((9, 9, 3))
    x = layers.Conv2D(16, 7, padding="same", activation="relu")(image)
    network = to_float64(trace(keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))))
    changed, rgb = take_rgb(network, PRESETS["caffe"], [network.output])
    expected, found = answers(network, PRESETS["caffe"]), answers(changed, rgb)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14 * np.abs(expected).max())
