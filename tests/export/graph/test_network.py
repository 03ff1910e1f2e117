"""Tracing of Keras models."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
from keras import layers
from support.networks import build_model

from camserve.errors import SourceError
from camserve.export.graph.trace import trace

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(3, 8, 8, 3)).astype(np.float32)


def backbone() -> keras.Model:
    image = layers.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same")(image)
    return keras.Model(image, layers.add([x, layers.Activation("relu")(x)]), name="backbone")


def nested() -> keras.Model:
    image = layers.Input((8, 8, 3))
    x = backbone()(image)
    tail = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(5, "softmax")], name="tail")
    return keras.Model(image, tail(x), name="nested")


def called_twice() -> keras.Model:
    image = layers.Input((8, 8, 3))
    twin = keras.Sequential([layers.Input((8, 8, 3)), layers.Conv2D(3, 3, padding="same"), layers.ReLU()])
    x = layers.GlobalAveragePooling2D()(twin(twin(image)))
    return keras.Model(image, layers.Dense(2)(x), name="called-twice")


def with_operations() -> keras.Model:
    image = layers.Input((8, 8, 3))
    x = keras.ops.concatenate([image * 2.0, keras.ops.relu(image)], axis=-1)
    return keras.Model(image, layers.Dense(2)(layers.Flatten()(x)), name="with-operations")


def sequential() -> keras.Model:
    return keras.Sequential([layers.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2)])


@pytest.mark.parametrize("make", [nested, called_twice, with_operations, sequential])
def test_traced_network_equals_the_model(make: object) -> None:
    model = make()  # type: ignore[operator]
    rebuilt = build_model(trace(model))
    np.testing.assert_array_equal(rebuilt(IMAGES, training=False), model(IMAGES, training=False))


def test_nested_models_are_flattened() -> None:
    kinds = [step.kind for step in trace(nested()).steps]
    assert kinds == ["Conv2D", "Activation", "Add", "GlobalAveragePooling2D", "Dense"]


def test_model_called_twice_shares_its_layers() -> None:
    network = trace(called_twice())
    convolutions = [step.operation for step in network.steps if step.kind == "Conv2D"]
    assert len(convolutions) == 2
    assert convolutions[0] is convolutions[1]
    assert network.calls(convolutions[0]) == 2


def test_unchanged_layers_are_shared() -> None:
    model = nested()
    assert build_model(trace(model)).layers[-1].kernel is model.get_layer("tail").layers[-1].kernel


class Subclassed(keras.Model):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(name="own")
        self.dense = layers.Dense(2)

    def call(self, image: object) -> object:
        return self.dense(keras.ops.mean(image, (1, 2)))


def two_inputs() -> keras.Model:
    first, second = layers.Input((8, 8, 3)), layers.Input((8, 8, 3))
    return keras.Model([first, second], layers.Dense(2)(layers.Flatten()(layers.add([first, second]))))


@pytest.mark.parametrize(("make", "message"), [(Subclassed, "subclassed"), (two_inputs, "2 inputs")])
def test_unsupported_model_is_refused(make: object, message: str) -> None:
    model = make()  # type: ignore[operator]
    if isinstance(model, Subclassed):
        model(IMAGES)
    with pytest.raises(SourceError, match=message):
        trace(model)


@pytest.mark.parametrize("name", ["conv 1", "größe", "a<b"])
def test_invalid_layer_name_is_refused(name: str) -> None:
    image = keras.layers.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten(name=name)(image)))
    with pytest.raises(SourceError, match=re.escape(f"layer {name!r}")):
        trace(model)
