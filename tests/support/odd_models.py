"""Unusual models, as users have them, by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from support.odd_layers import AlwaysDropout, Backbone, Block, Gain

__all__ = ["EXACT", "WITHOUT_MAP", "classifier", "dense", "with_policy"]

Make = Callable[[], keras.Model]


def classifier(
    tail: Callable[[Any], Any],
    *first: Any,
    name: str = "odd",
    dtype: str | None = None,
    shape: tuple[int, int, int] = (8, 8, 3),
) -> keras.Model:
    """Build a classifier of some first layers, a convolution, and a tail."""
    image = layers.Input(shape, dtype=dtype)
    x: Any = image
    for layer in first:
        x = layer(x)
    features = layers.Conv2D(4, 3, padding="same", activation="relu", name="features")(x)
    return keras.Model(image, tail(features), name=name)


def dense(x: Any, **options: Any) -> Any:
    """Apply global average pooling and a Dense layer of three classes."""
    return layers.Dense(3, **{"activation": "softmax", **options})(layers.GlobalAveragePooling2D()(x))


def with_policy(policy: str, make: Make) -> Make:
    """Return a function that builds the model under a dtype policy."""

    def build() -> keras.Model:
        keras.config.set_dtype_policy(policy)
        try:
            return make()
        finally:
            keras.config.set_dtype_policy("float32")

    return build


def part(size: int = 8, **names: str) -> keras.Model:
    """Build a small convolution with BatchNorm, to nest in other models."""
    steps = [layers.Conv2D(3, 3, padding="same", **names), layers.BatchNormalization(), layers.ReLU()]
    return keras.Sequential([layers.Input((size, size, 3)), *steps])


def wrapped(model: keras.Model) -> keras.Model:
    """Build a model whose only layer is the given model."""
    image = layers.Input(model.input_shape[1:])
    return keras.Model(image, model(image))


class Functional(keras.Model):  # type: ignore[misc]
    """A subclass with a functional constructor."""

    def __init__(self) -> None:
        image = layers.Input((8, 8, 3))
        super().__init__(image, dense(layers.Conv2D(4, 3)(image)))


def nested_deep() -> keras.Model:
    return wrapped(classifier(dense, wrapped(wrapped(wrapped(part()))), keras.Sequential([keras.Sequential([part()])])))


def called_twice() -> keras.Model:
    twin, image = part(), layers.Input((8, 8, 3))
    return keras.Model(image, dense(layers.add([twin(image), twin(twin(image))])))


def several_ends() -> keras.Model:
    """Build a model with a nested model of two inputs and two outputs in dicts."""
    first, second = layers.Input((8, 8, 3), name="first"), layers.Input((8, 8, 3), name="second")
    difference = keras.Model({"first": first, "second": second}, {"sum": first + second, "less": first - second})
    image = layers.Input((8, 8, 3))
    return keras.Model(image, dense(difference({"second": image, "first": layers.Conv2D(3, 1)(image)})["less"]))


def backbone() -> keras.Model:
    """Build a classifier on two blocks of Keras's ResNet50 without its top, as in transfer learning."""
    family: Any = importlib.import_module(keras.applications.ResNet50.__module__)

    def stages(x: Any) -> Any:
        return family.stack_residual_blocks_v1(x, 8, 2, stride1=1, name="conv2")

    body = family.ResNet(stages, False, True, include_top=False, weights=None, input_shape=(32, 32, 3))
    image = layers.Input((32, 32, 3))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(body(image, training=False)))
    return keras.Model(image, layers.Dense(3, "softmax")(x))


def wrapped_backbone() -> keras.Model:
    image = layers.Input((8, 8, 3))
    return keras.Model(image, dense(Backbone()(image)))


def shared_layers() -> keras.Model:
    convolution, norm = layers.Conv2D(3, 3, padding="same"), layers.BatchNormalization()
    return classifier(dense, convolution, norm, layers.ReLU(), convolution, norm)


def adapted() -> keras.Model:
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(7).uniform(0, 1, (20, 8, 8, 3)).astype(np.float32))
    return classifier(dense, normalization)


def operators() -> keras.Model:
    image = layers.Input((8, 8, 3))
    x = (image * 255.0 - np.array([1.0, 2.0, 3.0], np.float32))[..., ::-1] / 255.0
    x = keras.ops.maximum(layers.Conv2D(4, 3)(x), 0.0)
    x = keras.ops.concatenate([x, -x], axis=-1)
    x = keras.ops.where(x > 0.1, x**2, x * keras.ops.sigmoid(x))
    return keras.Model(image, keras.ops.softmax(layers.Dense(3)(keras.ops.mean(x, axis=(1, 2)))))


def shared_softmax() -> keras.Model:
    same = layers.Softmax()
    return classifier(lambda x: same(dense(same(x), activation=None)))


def low_rank() -> keras.Model:
    model = classifier(lambda x: dense(x, name="adapted"))
    model.get_layer("adapted").enable_lora(2)
    model.get_layer("adapted").lora_kernel_b.assign(np.random.default_rng(8).normal(size=(2, 3)))
    return model


def zoo() -> keras.Model:
    """Build a chain of layers that convert to different operators."""
    return classifier(
        dense,
        *(layers.LeakyReLU(), layers.PReLU(), layers.ELU(), layers.Activation("hard_silu"), layers.Activation("mish")),
        *(layers.GroupNormalization(1), layers.LayerNormalization()),
        *(layers.UpSampling2D(2), layers.Cropping2D(1), layers.ZeroPadding2D(2), layers.SeparableConv2D(4, 3)),
    )


EXACT: dict[str, Make] = {
    # Names and order
    "layer names that camserve uses": lambda: classifier(
        lambda x: dense(x, name="probabilities"), layers.ReLU(name="image")
    ),
    "equal names in two nested models": lambda: classifier(dense, part(name="same"), part(name="same")),
    "spaces and accents in the model name": lambda: classifier(dense, name="réseau de neurones"),
    "a Sequential": lambda: keras.Sequential([part(), layers.GlobalAveragePooling2D(), layers.Dense(3)]),
    # Nested and shared
    "deeply nested models": nested_deep,
    "a model called twice": called_twice,
    "nested model with several inputs and outputs": several_ends,
    "a backbone as a layer": backbone,
    "layers called twice": shared_layers,
    "a softmax called twice": shared_softmax,
    "functional subclass": Functional,
    "a subclassed backbone": wrapped_backbone,
    # Preprocessing in the model
    "preprocessing with constants": lambda: classifier(
        dense, layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.1, 0.2, 0.3]), layers.Rescaling(2.0, -1.0)
    ),
    "an adapted normalization": adapted,
    "resizing": lambda: classifier(dense, layers.Resizing(6, 10), layers.Resizing(9, 5, interpolation="nearest")),
    "a center crop": lambda: classifier(dense, layers.CenterCrop(6, 4)),
    "augmentation": lambda: classifier(
        dense, layers.RandomFlip(), layers.RandomRotation(0.1), layers.RandomContrast(0.2), layers.RandomZoom(0.1)
    ),
    # Heads
    "one window with a smaller stride": lambda: classifier(
        lambda x: layers.Dense(3)(layers.Flatten()(layers.AveragePooling2D(8, strides=1)(x)))
    ),
    "a head of zeros": lambda: classifier(lambda x: dense(x, kernel_initializer="zeros")),
    "a linear activation layer": lambda: classifier(
        lambda x: layers.Activation("softmax")(layers.Activation("linear")(dense(x, activation=None)))
    ),
    "logits": lambda: classifier(lambda x: dense(x, activation=None)),
    "multi-label": lambda: classifier(lambda x: dense(x, activation="sigmoid")),
    "one probability": lambda: classifier(
        lambda x: layers.Activation("sigmoid")(layers.Dense(1)(layers.GlobalAveragePooling2D()(x)))
    ),
    "TensorFlow functions": lambda: classifier(
        lambda x: dense(x, activation=tf.nn.softmax), layers.Conv2D(3, 3, activation=tf.nn.relu)
    ),
    "flat": lambda: classifier(lambda x: layers.Dense(3, "softmax")(layers.Flatten()(x)), shape=(6, 10, 3)),
    "LoRA": low_rank,
    # Layers and operations
    "a subclass of Dropout": lambda: classifier(lambda x: dense(AlwaysDropout(0.5)(x))),
    "a registered layer": lambda: classifier(dense, Gain(3.0)),
    "a layer with inner layers": lambda: classifier(dense, Block()),
    "operators": operators,
    "a zoo of layers": zoo,
    # Shapes and precisions
    "gray, not square": lambda: classifier(dense, shape=(6, 10, 1)),
    "mixed precision": with_policy("mixed_float16", lambda: classifier(dense, part(), Gain(), Block())),
    "mixed precision, adapted": with_policy("mixed_float16", adapted),
    "mixed bfloat16": with_policy("mixed_bfloat16", lambda: classifier(dense)),
    "double precision": with_policy("float64", adapted),
    "double precision, operators": with_policy("float64", operators),
}
"""Models that export with maps."""


GRADIENT: dict[str, Make] = {
    "two heads": lambda: classifier(lambda x: layers.Average()([dense(x), dense(x)])),
    "scaled probabilities": lambda: classifier(lambda x: layers.Rescaling(2.0)(dense(x))),
    "attention over the head": lambda: classifier(
        lambda x: layers.Dense(3)(layers.Dense(4, "softmax", name="gate")(layers.Flatten()(x)))
    ),
}
"""Models that export with gradient maps."""


WITHOUT_MAP: dict[str, tuple[Make, str]] = {
    "sorted features": (
        lambda: classifier(lambda x: layers.Dense(3)(keras.ops.sort(layers.GlobalMaxPooling2D()(x), axis=1))),
        "Sort",
    ),
}
"""Models that export only without maps, each with part of the error message."""
