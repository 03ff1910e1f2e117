"""Maps of heads that are not linear, against `tf.GradientTape` on the user's own model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from camserve.errors import UsageError
from camserve.export.graph.gradient_head import GradientHead
from camserve.export.graph.inference import to_float64
from camserve.export.graph.prepare import Prepared, prepare
from camserve.export.graph.reference import logits_of_maps

IMAGES = np.random.default_rng(2).uniform(0, 1, (4, 7, 7, 3)).astype(np.float32)
CLASSES, MAPS = 4, 3


def dense(units: int, activation: Any = None) -> Any:
    biases = keras.initializers.RandomNormal(stddev=0.5)
    return layers.Dense(units, activation, bias_initializer=biases)


def average(x: Any) -> Any:
    return layers.GlobalAveragePooling2D()(x)


def largest(x: Any) -> Any:
    return layers.GlobalMaxPooling2D()(x)


def normalized(x: Any) -> Any:
    """Apply BatchNorm with random statistics."""
    channels, rng = x.shape[-1], np.random.default_rng(4)
    norm = layers.BatchNormalization()
    x = norm(x)
    norm.set_weights([rng.uniform(low, high, channels) for low, high in ((0.5, 2), (-1, 1), (-1, 1), (0.1, 2))])
    return x


def layer_norm(**settings: Any) -> Any:
    random = {"beta_initializer": "random_normal", "gamma_initializer": keras.initializers.RandomNormal(1.0, 0.3)}
    return layers.LayerNormalization(epsilon=1e-6, **random, **settings)


def group_norm(groups: int) -> Any:
    random = {"beta_initializer": "random_normal", "gamma_initializer": keras.initializers.RandomNormal(1.0, 0.3)}
    return layers.GroupNormalization(groups, epsilon=1e-6, **random)


def rms_norm(**settings: Any) -> Any:
    norm = layers.RMSNormalization(**settings)
    norm.build((None, 1, 1, 4))
    norm.set_weights([np.random.default_rng(5).uniform(0.5, 2, weight.shape) for weight in norm.weights])
    return norm


def in_a_row(x: Any) -> Any:
    return layers.Reshape((49, 4))(x)


def gated(x: Any) -> Any:
    x = average(x)
    return layers.Multiply()([x, layers.Dense(4, "sigmoid")(x)])


def residual(x: Any) -> Any:
    x = average(x)
    return layers.Add()([x, layers.Dense(4, "tanh")(x)])


HEADS: dict[str, Any] = {
    "hidden layer, ReLU and dropout": lambda x: layers.Dropout(0.5)(dense(8, "relu")(average(x))),
    "flatten and two hidden layers": lambda x: dense(6, "relu")(dense(9, "relu")(layers.Flatten()(x))),
    "hidden layer with BatchNorm": lambda x: layers.ReLU()(normalized(dense(6)(average(x)))),
    "BatchNorm after the activation": lambda x: normalized(dense(6, "relu")(average(x))),
    "BatchNorm before the hidden layer": lambda x: dense(6, "relu")(normalized(average(x))),
    "maximum": largest,
    "maximum, BatchNorm and a hidden layer": lambda x: dense(6, "silu")(normalized(largest(x))),
    "average and maximum": lambda x: layers.Concatenate()([average(x), largest(x)]),
    "average plus maximum, hidden layer": lambda x: dense(6, "relu")(layers.Add()([average(x), largest(x)])),
    "difference of average and maximum": lambda x: layers.Subtract()([average(x), largest(x)]),
    "mean of average and maximum": lambda x: layers.Average()([average(x), largest(x)]),
    "operators on average and maximum": lambda x: keras.ops.concatenate([average(x) - largest(x), average(x) * 3], -1),
    "a gate": gated,
    "a residual": residual,
    "layer normalization": lambda x: layer_norm()(average(x)),
    "layer normalization of a grid": lambda x: layer_norm(axis=(1, 2, 3))(
        layers.GlobalAveragePooling2D(keepdims=True)(x)
    ),
    "layer normalization without scale": lambda x: layers.LayerNormalization(scale=False, center=False)(largest(x)),
    "group normalization": lambda x: group_norm(2)(dense(8)(largest(x))),
    "group normalization of a grid": lambda x: layers.Concatenate()([average(group_norm(2)(x) * x), largest(x)]),
    "instance normalization of a grid": lambda x: largest(x) + average(layers.ReLU()(group_norm(-1)(x))),
    "root mean square normalization": lambda x: rms_norm()(average(x)),
    "root mean square normalization of a grid": lambda x: rms_norm(axis=(1, 2, 3))(
        layers.GlobalAveragePooling2D(keepdims=True)(x)
    ),
    "vectors of length 1": lambda x: layers.UnitNormalization()(average(x)),
    "vectors of length 1 by an operator": lambda x: keras.ops.normalize(dense(5)(average(x)), axis=1),
    "a softmax": lambda x: layers.Activation("softmax")(dense(5)(average(x))),
    "a softmax layer": lambda x: layers.Softmax()(average(x)),
    "a hidden layer with softmax": lambda x: dense(6, "softmax")(largest(x)),
    "a softmax by an operator": lambda x: 3 * keras.ops.softmax(average(x), axis=1),
    "attention to positions": lambda x: keras.ops.sum(
        layers.Multiply()([in_a_row(x), layers.Softmax(axis=1)(in_a_row(x))]), 1
    ),
    "a softmax over the grid": lambda x: largest(layers.Softmax(axis=(1, 2))(x)) + average(x),
    "a linear activation": lambda x: layers.Activation("linear")(dense(6, "relu")(average(x))),
    "a linear activation of the grid": lambda x: largest(layers.Activation("linear")(x)),
    "layers for training": lambda x: layers.AlphaDropout(0.1)(
        layers.GaussianNoise(0.1)(
            layers.GaussianDropout(0.1)(layers.Identity()(dense(6, "relu")(average(layers.SpatialDropout2D(0.1)(x)))))
        )
    ),
    "a 1x1 depthwise convolution": lambda x: layers.DepthwiseConv2D(1, depth_multiplier=2, activation="relu")(
        layers.GlobalAveragePooling2D(keepdims=True)(x)
    ),
    "1x1 depthwise convolution of a grid": lambda x: largest(x) + average(layers.DepthwiseConv2D(1)(x) * x),
    "a 1x1 separable convolution": lambda x: layers.SeparableConv2D(6, 1, activation="gelu")(
        layers.GlobalAveragePooling2D(keepdims=True)(x)
    ),
    "a separable convolution over the grid": layers.SeparableConv2D(5, 7, depth_multiplier=2, activation="relu"),
    "1x1 convolutions and hard swish": lambda x: layers.Activation("hard_silu")(
        layers.Conv2D(6, 1)(layers.GlobalAveragePooling2D(keepdims=True)(x))
    ),
    "1x1 convolution with an activation": lambda x: layers.Conv2D(6, 1, activation="hard_silu")(
        layers.GlobalMaxPooling2D(keepdims=True)(x)
    ),
    "a 3x3 convolution of a single position": lambda x: layers.Conv2D(6, 3, padding="same", activation="gelu")(
        layers.GlobalAveragePooling2D(keepdims=True)(x)
    ),
    "a convolution over the whole grid": layers.Conv2D(5, 7, activation="elu"),
    "a padded convolution over the whole grid": layers.Conv2D(5, 7, strides=7, padding="same", activation="elu"),
    "a larger padded window": layers.Conv2D(5, 9, strides=9, padding="same", activation="elu"),
    "a depthwise convolution over the grid": lambda x: layers.PReLU()(layers.DepthwiseConv2D(7, depth_multiplier=2)(x)),
    "a depthwise convolution with swish": layers.DepthwiseConv2D(7, activation="swish"),
    "average windows": lambda x: dense(6, "tanh")(layers.Flatten()(layers.AveragePooling2D((2, 3))(x))),
    "average windows, padded": lambda x: dense(6, "relu")(
        layers.Flatten()(layers.AveragePooling2D(2, padding="same")(x))
    ),
    "a maximum window over the grid": layers.MaxPooling2D(7),
    "operators": lambda x: keras.ops.relu(2 * keras.ops.max(x, (1, 2)) - 0.3) / 4,
    "squared": lambda x: average(x) * average(x),
    "positions in a row": lambda x: layers.GlobalMaxPooling1D()(layers.Reshape((49, 4))(x)),
    "mean of positions in a row": lambda x: dense(5, "relu")(
        layers.GlobalAveragePooling1D()(layers.Reshape((49, 4))(x))
    ),
    "rows and columns swapped": lambda x: dense(5, "relu")(layers.Flatten()(layers.Permute((2, 1, 3))(x))),
    "a reshaped hidden layer": lambda x: layers.Reshape((3, 3, 1))(dense(9, "relu")(layers.Flatten()(x))),
    "expanded and squeezed": lambda x: keras.ops.squeeze(keras.ops.expand_dims(dense(5, "relu")(average(x)), 1), 1),
    "a rescaling": lambda x: dense(5, "relu")(layers.Rescaling(2.0, 0.5)(average(x))),
    **{
        f"{name} in a hidden layer": lambda x, name=name: dense(6, name)(average(x))
        for name in ("gelu", "hard_silu", "mish", "relu6", "selu", "sigmoid", "silu", "leaky_relu")
    },
}


def classifier(head: Any, activation: str = "softmax") -> keras.Model:
    image = layers.Input((7, 7, 3))
    features = layers.Conv2D(4, 3, padding="same", activation="relu", name="features")(image)
    vector = head(features)
    flat = vector if len(vector.shape) == 2 else layers.Flatten()(vector)
    return keras.Model(image, layers.Activation(activation)(dense(CLASSES)(flat)), name="classifier")


def tape_maps(model: keras.Model, classes: Any) -> Any:
    """Compute maps of the model itself: gradients of its logits, times its features, summed over channels."""
    middle = keras.Model(model.input, [model.get_layer("features").output, model.layers[-1].input])
    with tf.GradientTape(persistent=True) as tape:
        features, logits = middle(IMAGES, training=False)
        chosen = [tf.gather(logits, column, axis=1, batch_dims=1) for column in np.transpose(classes)]
    gradients = [tape.gradient(each, features) for each in chosen]
    return np.stack([np.sum(gradient * features, axis=-1) for gradient in gradients], axis=1)


def prepared_head(name: str) -> tuple[keras.Model, Prepared, GradientHead]:
    model = classifier(HEADS[name])
    prepared = prepare(model, cam=True, top_k=MAPS, all_classes=False)
    assert isinstance(prepared.head, GradientHead)
    return model, prepared, prepared.head


@pytest.mark.parametrize("name", HEADS)
def test_maps_are_those_of_the_gradient_tape(name: str) -> None:
    model, prepared, head = prepared_head(name)
    served = {output: np.asarray(value) for output, value in prepared.served.function(IMAGES).items()}
    expected = tape_maps(model, served["cam_class"])
    exact = replace(prepared.reference, network=to_float64(prepared.reference.network))(IMAGES)
    assert prepared.served.cam is not None
    assert (prepared.served.cam.method, prepared.served.cam.grid) == ("gradient", (7, 7))
    assert served["cam"].shape == (len(IMAGES), MAPS, 7, 7)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(served["cam"], expected, atol=2e-6 * scale)
    np.testing.assert_allclose(served["cam"], exact.maps_of(served["cam_class"]), atol=2e-6 * scale)
    own_logits = np.take_along_axis(served["logits"], served["cam_class"], axis=1)
    assert (np.diff(own_logits) <= 0).all()
    if head.bias is not None:
        total = logits_of_maps(served["cam"], head) + head.bias[served["cam_class"]]
        np.testing.assert_allclose(total, own_logits, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("maximum", True),
        ("average and maximum", True),
        ("a maximum window over the grid", True),
        ("hidden layer, ReLU and dropout", False),  # its hidden layer has a bias
        ("layer normalization", False),
        ("a residual", False),
    ],
)
def test_sum_of_a_map_gives_the_logit_only_if_no_kink_follows_a_bias(name: str, holds: bool) -> None:
    _, _, head = prepared_head(name)
    assert (head.bias is not None) == holds


def test_hidden_layers_without_bias_keep_the_sum() -> None:
    model = classifier(lambda x: layers.Dense(8, "relu", use_bias=False)(average(x)))
    prepared = prepare(model, cam=True, top_k=MAPS, all_classes=False)
    assert prepared.head is not None
    assert prepared.head.bias is not None
    np.testing.assert_allclose(prepared.head.bias, model.layers[-2].bias, atol=1e-6)


def test_maps_do_not_depend_on_the_batch() -> None:
    _, prepared, _ = prepared_head("average and maximum")
    together = prepared.served.function(IMAGES)["cam"]
    alone = np.concatenate([prepared.served.function(IMAGES[index : index + 1])["cam"] for index in range(len(IMAGES))])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_reference_maps_do_not_depend_on_how_many_are_computed() -> None:
    _, prepared, _ = prepared_head("average and maximum")
    answers = prepared.reference(IMAGES)
    classes = np.tile(np.arange(3), (len(IMAGES), 1))
    many = answers.maps_of(np.tile(classes, (1, 7)))
    np.testing.assert_allclose(many, np.tile(answers.maps_of(classes), (1, 7, 1, 1)), atol=1e-6)


def test_equal_maxima_share_the_derivative() -> None:
    _, prepared, _ = prepared_head("maximum")
    flat = np.full((1, 7, 7, 3), 0.5, np.float32)
    maps = np.asarray(prepared.served.function(flat)["cam"])
    np.testing.assert_allclose(maps[..., 1:6, 1:6], np.broadcast_to(maps[..., 3:4, 3:4], (1, MAPS, 5, 5)), rtol=1e-4)


def test_one_sigmoid_has_opposite_maps() -> None:
    image = layers.Input((7, 7, 3))
    features = layers.Conv2D(4, 3, padding="same", activation="relu", name="features")(image)
    model = keras.Model(image, layers.Dense(1, "sigmoid")(dense(8, "relu")(average(features))))
    served = prepare(model, cam=True, top_k=2, all_classes=False, two_classes=True).served.function(IMAGES)
    maps = np.asarray(served["cam"])
    assert np.abs(maps).max() > 0
    np.testing.assert_allclose(maps[:, 0], -maps[:, 1], atol=1e-7)


def test_sigmoid_for_each_label_has_maps() -> None:
    model = classifier(HEADS["hidden layer, ReLU and dropout"], "sigmoid")
    prepared = prepare(model, cam=True, top_k=MAPS, all_classes=False)
    served = prepared.served.function(IMAGES)
    expected = tape_maps(model, np.asarray(served["cam_class"]))
    np.testing.assert_allclose(served["cam"], expected, atol=2e-6 * np.abs(expected).max())


def test_maps_of_all_classes_are_refused_with_the_number_of_maps() -> None:
    with pytest.raises(UsageError, match="is not linear") as caught:
        prepare(classifier(HEADS["maximum"]), cam=True, top_k=5, all_classes=True)
    assert caught.value.hint is not None
    assert "--cam-top-k 5" in caught.value.hint
