"""Linear heads and their class activation maps."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from support.networks import build_model, enliven, small_network

from camserve.contract import PRESETS
from camserve.errors import HeadError, SourceError
from camserve.export.graph.head import find_linear_head, split_logits
from camserve.export.graph.inference import to_inference_mode
from camserve.export.graph.prepare import prepare
from camserve.export.graph.reference import KerasReference, logits_of_maps
from camserve.export.graph.trace import trace

IMAGES = np.random.default_rng(2).uniform(0, 1, (4, 16, 16, 3)).astype(np.float32)


def classifier(tail: Any, size: int = 7) -> keras.Model:
    image = layers.Input((size, size, 3))
    features = layers.Conv2D(4, 3, padding="same", activation="relu", name="features")(image)
    return keras.Model(image, tail(features), name="classifier")


def pooled(pool: Any, *, classes: int = 3) -> keras.Model:
    return classifier(lambda x: layers.Dense(classes, "softmax", name="classes")(layers.Flatten()(pool(x))))


def pointwise_head(x: Any) -> Any:
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Conv2D(3, 1, name="classes")(x)
    return layers.Activation("softmax")(layers.Reshape((3,))(x))


def global_average(x: Any) -> Any:
    return layers.GlobalAveragePooling2D()(x)


def normalized(x: Any) -> Any:
    """Apply BatchNorm with random statistics."""
    channels, rng = x.shape[-1], np.random.default_rng(4)
    statistics = [rng.uniform(low, high, channels) for low, high in ((0.5, 2), (-1, 1), (-1, 1), (0.1, 2))]
    norm = layers.BatchNormalization()
    x = norm(x)
    norm.set_weights(statistics)
    return x


def shared_layer() -> keras.Model:
    mix = layers.Dense(4)
    return classifier(lambda x: layers.Dense(3)(mix(mix(global_average(x)))))


KINDS = {
    "global average": ("global-average", (7, 7)),
    "average 2x2, uncovered row and column": ("average", (7, 7)),
    "no pooling": ("flatten", (7, 7)),
    "overlapping windows": ("flatten", (3, 3)),
    "windows that are not square": ("flatten", (1, 3)),
    "BatchNorm of pooled windows": ("average", (7, 7)),
    "class maps, then average": ("global-average", (7, 7)),
    "class maps by a 3x3 convolution": ("global-average", (5, 5)),
    "1x1 convolution of pooled windows": ("average", (7, 7)),
    "a convolution over the whole grid": ("flatten", (7, 7)),
    "mean by Keras operations": ("global-average", (7, 7)),
    "rows and columns swapped": ("flatten", (7, 7)),
    "positions in a row": ("flatten", (7, 7)),
    "a reshaped vector": ("global-average", (7, 7)),
    "pixels": ("flatten", (7, 7)),
}

HEADS = {
    "global average": pooled(layers.GlobalAveragePooling2D()),
    "average 7x7": pooled(layers.AveragePooling2D(7)),
    "average 2x2, uncovered row and column": pooled(layers.AveragePooling2D(2)),
    "average 2x2, padded": pooled(layers.AveragePooling2D(2, padding="same")),
    "average 3x2": pooled(layers.AveragePooling2D((3, 2))),
    "gaps between windows": pooled(layers.AveragePooling2D(2, strides=3)),
    "no pooling": pooled(layers.Identity()),
    "1x1 convolution": classifier(pointwise_head),
    "logits": classifier(lambda x: layers.Dense(3)(layers.GlobalAveragePooling2D()(x))),
    "sigmoid": classifier(lambda x: layers.Dense(3, "sigmoid")(layers.GlobalAveragePooling2D()(x))),
    "softmax layer": classifier(lambda x: layers.Softmax()(layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))),
    "no bias": classifier(lambda x: layers.Dense(3, use_bias=False)(layers.GlobalAveragePooling2D()(x))),
    "overlapping windows": pooled(layers.AveragePooling2D(3, strides=2)),
    "windows that are not square": pooled(layers.AveragePooling2D((7, 3), strides=(1, 2), padding="valid")),
    "dense, BatchNorm, softmax": classifier(lambda x: layers.Softmax()(normalized(layers.Dense(3)(global_average(x))))),
    "BatchNorm, dense": classifier(lambda x: layers.Dense(3, "softmax")(normalized(global_average(x)))),
    "BatchNorm before the pooling": classifier(lambda x: layers.Dense(3)(global_average(normalized(x)))),
    "BatchNorm of pooled windows": pooled(lambda x: normalized(layers.AveragePooling2D(3)(x))),
    "two linear layers": classifier(lambda x: layers.Dense(3)(layers.Dropout(0.1)(layers.Dense(5)(global_average(x))))),
    "class maps, then average": classifier(lambda x: layers.Softmax()(global_average(layers.Conv2D(3, 1)(x)))),
    "class maps by a dense layer": classifier(lambda x: layers.Softmax()(global_average(layers.Dense(3)(x)))),
    "class maps by a 3x3 convolution": classifier(lambda x: global_average(normalized(layers.Conv2D(3, 3)(x)))),
    "1x1 convolution of pooled windows": pooled(lambda x: layers.Conv2D(5, 1)(layers.AveragePooling2D((7, 3))(x))),
    "a convolution over the whole grid": classifier(lambda x: layers.Flatten()(layers.Conv2D(3, 7)(x))),
    "1x1 dimensions kept": pooled(layers.GlobalAveragePooling2D(keepdims=True)),
    "mean by Keras operations": classifier(lambda x: layers.Dense(3)(keras.ops.mean(x, axis=(1, -2)))),
    "squeezed": classifier(lambda x: layers.Dense(3)(keras.ops.squeeze(keras.ops.mean(x, (1, 2), True), (1, 2)))),
    "a temperature": classifier(lambda x: keras.ops.softmax(1 - layers.Dense(3)(2 * global_average(x) + 1) / 4)),
    "a rescaling": classifier(
        lambda x: layers.Dense(3)(layers.Rescaling(2.0, [1.0, 2.0, 3.0, 4.0])(global_average(x)))
    ),
    "rows and columns swapped": pooled(layers.Permute((2, 1, 3))),
    "positions in a row": pooled(layers.Reshape((49, 4))),
    "a reshaped vector": classifier(
        lambda x: layers.Dense(3)(layers.Flatten()(layers.Reshape((2, 2, 1))(layers.Dense(4)(global_average(x)))))
    ),
    "pixels": keras.Sequential([layers.Input((7, 7, 3)), layers.Flatten(), layers.Dense(3)]),
    "a shared layer": shared_layer(),
}


@pytest.mark.parametrize("name", HEADS)
def test_maps_sum_to_the_logits(name: str) -> None:
    images = IMAGES[:, :7, :7]
    network, logits, _ = split_logits(to_inference_mode(trace(HEADS[name]))[0])
    head = find_linear_head(network, logits)
    outputs = KerasReference(network, logits, head)(images)
    assert outputs.maps is not None
    np.testing.assert_allclose(logits_of_maps(outputs.maps, head) + head.bias, outputs.logits, atol=1e-5)
    np.testing.assert_allclose(outputs.probabilities, HEADS[name](images, training=False), atol=1e-6)


@pytest.mark.parametrize("name", HEADS)
def test_served_maps_equal_the_formula(name: str) -> None:
    images = IMAGES[:, :7, :7]
    prepared = prepare(HEADS[name], cam=True, top_k=2, all_classes=True)
    outputs, served = prepared.reference(images), prepared.served.function(images)
    assert outputs.maps is not None
    assert prepared.served.cam is not None
    np.testing.assert_allclose(served["cam_all"], outputs.maps, atol=1e-5)
    chosen = np.take_along_axis(np.asarray(served["cam_all"]), np.asarray(served["cam_class"])[:, :, None, None], 1)
    np.testing.assert_allclose(served["cam"], chosen, atol=1e-6)
    assert (np.asarray(served["cam_class"])[:, 0] == outputs.logits.argmax(axis=1)).all()


@pytest.mark.parametrize("name", KINDS)
def test_features_are_the_nearest_spatial_value(name: str) -> None:
    cam = prepare(HEADS[name], cam=True, top_k=1, all_classes=False).served.cam
    assert cam is not None
    assert (cam.kind, cam.grid) == KINDS[name]


def test_averaged_class_maps_are_used_unchanged() -> None:
    model = classifier(lambda x: layers.Softmax()(global_average(layers.Conv2D(3, 1, name="maps")(x))))
    maps = keras.Model(model.input, model.get_layer("maps").output)(IMAGES[:, :7, :7])
    prepared = prepare(model, cam=True, top_k=1, all_classes=True)
    served = prepared.served.function(IMAGES[:, :7, :7])["cam_all"]
    np.testing.assert_allclose(served, np.moveaxis(maps, 3, 1), atol=1e-6)


def test_global_average_map_is_the_weighted_sum_of_features() -> None:
    model = enliven(small_network("global-average"), PRESETS["unit"])
    features = keras.Model(model.input, model.get_layer("features").output)(IMAGES, training=False)
    weights = model.get_layer("classes").get_weights()[0]
    prepared = prepare(model, cam=True, top_k=1, all_classes=True)
    expected = np.einsum("bhwk,kc->bchw", np.asarray(features), weights)
    np.testing.assert_allclose(prepared.served.function(IMAGES)["cam_all"], expected, atol=1e-4)


def has_one_weight(model: keras.Model) -> bool:
    network, logits, _ = split_logits(to_inference_mode(trace(model))[0])
    return find_linear_head(network, logits).has_one_weight


def test_one_weight_is_used_if_all_positions_share_it() -> None:
    assert has_one_weight(small_network("global-average"))
    assert has_one_weight(pooled(layers.AveragePooling2D(7)))
    assert not has_one_weight(pooled(layers.AveragePooling2D(6)))  # a row and a column are in no window
    assert not has_one_weight(pooled(layers.AveragePooling2D(3)))
    assert not has_one_weight(classifier(lambda x: layers.Dense(3)(layers.Flatten()(x))))


def test_number_of_maps_is_limited_to_the_classes() -> None:
    served = prepare(small_network(classes=2), cam=True, top_k=5, all_classes=False).served
    assert served.cam is not None
    assert served.cam.top_k == 2


class Scaled(layers.Layer):  # type: ignore[misc]
    """A layer whose derivative is not known."""

    def call(self, x: Any) -> Any:
        return x * keras.ops.abs(x)


UNKNOWN: dict[str, tuple[Any, str]] = {
    "a layer of the user's own": (lambda x: Scaled(name="own_layer")(global_average(x)), r"'own_layer' \(Scaled\)"),
    "two unknown layers": (
        lambda x: layers.Lambda(lambda y: y * y, name="near")(Scaled(name="far")(layers.Flatten()(x))),
        r"'near' \(Lambda\)",
    ),
    "a convolution of one of two paths": (
        lambda x: layers.Concatenate()([global_average(layers.Conv2D(3, 3, name="path")(x)), global_average(x)]),
        r"'path' \(Conv2D\)",
    ),
    "a reciprocal": (lambda x: 1 / (2 + global_average(x)), "TrueDivide"),
    "an operation": (lambda x: keras.ops.sort(global_average(x), axis=1), "Sort"),
    "a custom function": (
        lambda x: layers.Dense(4, lambda y: y * y, name="own")(global_average(x)),
        r"'own' .*custom function",
    ),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_error_names_the_layer_without_derivative(name: str) -> None:
    tail, message = UNKNOWN[name]
    model = classifier(lambda x: layers.Dense(3)(layers.Flatten()(tail(x))))
    with pytest.raises(HeadError, match=message) as error:
        prepare(model, cam=True, top_k=5, all_classes=False)
    assert "--no-cam" in str(error.value)
    assert prepare(model, cam=False, top_k=5, all_classes=False).served.cam is None


def test_unsupported_final_activation_is_refused() -> None:
    model = classifier(lambda x: layers.Dense(3, "relu", name="classes")(layers.Flatten()(x)))
    with pytest.raises(SourceError, match="'classes' with the unsupported activation 'relu'"):
        prepare(model, cam=False, top_k=5, all_classes=False)


def test_softmax_over_another_axis_is_refused() -> None:
    model = classifier(lambda x: layers.Flatten()(layers.Conv2D(3, 5, activation="softmax", name="places")(x)))
    with pytest.raises(SourceError, match=r"'places' .* softmax over 3 values, but the model returns 27"):
        prepare(model, cam=False, top_k=5, all_classes=False)


def test_model_that_returns_an_image_is_refused() -> None:
    with pytest.raises(SourceError, match=r"a classifier must return \[batch, classes\]"):
        prepare(classifier(lambda x: x), cam=False, top_k=5, all_classes=False)


def test_splitting_the_logits_keeps_the_output() -> None:
    for model in HEADS.values():
        network, _, _ = split_logits(to_inference_mode(trace(model))[0])
        np.testing.assert_allclose(
            build_model(network)(IMAGES[:, :7, :7]), model(IMAGES[:, :7, :7], training=False), atol=1e-6
        )
