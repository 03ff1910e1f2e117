"""A Dense layer on a flattened grid multiplies each position, so that maps need no second product with its weights."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from camserve.export.formats.onnx_format import convert, open_model
from camserve.export.graph.gradient_head import find_gradient_head
from camserve.export.graph.head import split_logits
from camserve.export.graph.position_products import PositionProducts, by_position
from camserve.export.graph.prepare import Prepared, prepare
from camserve.export.graph.trace import trace

IMAGES = np.random.default_rng(2).uniform(0, 1, (4, 7, 5, 3)).astype(np.float32)
CLASSES, MAPS, CHANNELS, UNITS = 6, 3, 32, 40


def dense(units: int, activation: Any = None, *, bias: bool = True) -> Any:
    return layers.Dense(
        units, activation, use_bias=bias, bias_initializer=keras.initializers.RandomNormal(stddev=0.5), name="hidden"
    )


def classifier(head: Any, channels: int = CHANNELS) -> keras.Model:
    image = layers.Input((7, 5, 3))
    features = layers.Conv2D(channels, 3, padding="same", activation="relu", name="features")(image)
    logits = layers.Dense(CLASSES, bias_initializer="random_normal", name="logits")(head(features))
    return keras.Model(image, layers.Softmax()(logits))


def flattened(activation: Any, *, bias: bool = True) -> keras.Model:
    return classifier(lambda x: dense(UNITS, activation, bias=bias)(layers.Flatten()(x)))


def prepared_of(model: keras.Model) -> Prepared:
    return prepare(model, cam=True, top_k=MAPS, all_classes=False)


def tape_maps(model: keras.Model, classes: Any) -> Any:
    middle = keras.Model(model.input, [model.get_layer("features").output, model.get_layer("logits").output])
    with tf.GradientTape(persistent=True) as tape:
        features, logits = middle(IMAGES, training=False)
        chosen = [tf.gather(logits, column, axis=1, batch_dims=1) for column in np.transpose(classes)]
    return np.stack([np.sum(tape.gradient(each, features) * features, axis=-1) for each in chosen], axis=1)


HEADS = {
    "ReLU": lambda: flattened("relu"),
    "ReLU without bias": lambda: flattened("relu", bias=False),
    "GELU, whose derivative is not known from its result": lambda: flattened("gelu"),
    "softmax": lambda: flattened("softmax"),
    "an activation of its own layer": lambda: classifier(
        lambda x: layers.ReLU()(dense(UNITS)(layers.Reshape((7 * 5 * CHANNELS,))(x)))
    ),
}


@pytest.mark.parametrize("name", HEADS)
def test_answers_and_maps_are_those_of_the_model(name: str) -> None:
    model = HEADS[name]()
    graph = convert(prepared_of(model).served, 17)
    served = open_model(graph, 1)(IMAGES)
    np.testing.assert_allclose(served["probabilities"], model(IMAGES), atol=1e-6)
    expected = tape_maps(model, served["cam_class"])
    np.testing.assert_allclose(served["cam"], expected, atol=2e-6 * np.abs(expected).max())


def test_the_weights_are_stored_and_multiplied_once() -> None:
    prepared = prepared_of(flattened("relu"))
    graph = convert(prepared.served, 17).graph
    weights = Counter(name for node in graph.node if node.name.startswith("hidden/MatMul") for name in node.input)
    sizes = [math.prod(tensor.dims) for tensor in graph.initializer if weights[tensor.name] == 1]
    assert sum(sizes) == 35 * CHANNELS * UNITS
    assert max(math.prod(tensor.dims) for tensor in graph.initializer) == max(sizes)
    readers = Counter(name for node in graph.node for name in node.input)
    assert all(readers[name] == 1 for name in weights)


def test_the_products_belong_to_the_head_which_other_precisions_keep_in_float32() -> None:
    prepared = prepared_of(flattened("relu"))
    assert {"hidden", "logits"} <= prepared.served.head
    assert "features" not in prepared.served.head


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        (flattened("relu"), True),
        (classifier(lambda x: dense(UNITS, "relu")(layers.Flatten()(x)), channels=CHANNELS // 2), False),
        (classifier(lambda x: dense(UNITS, "relu")(layers.GlobalAveragePooling2D()(x))), False),
        (classifier(lambda x: dense(UNITS, "relu")(layers.Flatten()(layers.Permute((2, 1, 3))(x)))), False),
        (
            classifier(
                lambda x: layers.Concatenate()(
                    [dense(UNITS, "relu")(layers.Flatten()(x)), layers.GlobalAveragePooling2D()(x)]
                )
            ),
            False,
        ),
    ],
    ids=["flattened", "few channels", "pooled", "permuted", "read by others too"],
)
def test_only_a_layer_that_alone_reads_the_flattened_features_changes(model: keras.Model, changes: bool) -> None:
    network, logits, _ = split_logits(trace(model))
    head = find_gradient_head(network, logits)
    result = by_position(network, head.features)
    assert any(isinstance(step.operation, PositionProducts) for step in result.steps) == changes
    assert (result is network) != changes
