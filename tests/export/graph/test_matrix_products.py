"""1x1 convolutions of a single position are products of matrices, which the maps share."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from keras import layers

from camserve.export.formats.onnx_format import convert
from camserve.export.graph.matrix_products import call_with_fixed_shapes
from camserve.export.graph.network import run
from camserve.export.graph.prepare import prepare
from camserve.export.graph.trace import trace

IMAGES = np.random.default_rng(0).uniform(0, 1, (3, 8, 8, 3)).astype(np.float32)


def convolutional_head() -> keras.Model:
    """Build a network with squeeze-and-excitation and the head of MobileNetV3, of 1x1 convolutions."""
    image = layers.Input((8, 8, 3))
    x = layers.Conv2D(96, 3, padding="same", activation="relu", name="features")(image)
    gate = layers.Conv2D(96, 1, activation="hard_sigmoid", name="gate")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.GlobalAveragePooling2D(keepdims=True)(layers.Multiply()([x, gate]))
    x = layers.Conv2D(64, 1, activation="hard_swish", bias_initializer="random_normal", name="hidden")(x)
    x = layers.Conv2D(70, 1, bias_initializer="random_normal", name="classes")(layers.Dropout(0.2)(x))
    return keras.Model(image, layers.Softmax()(layers.Flatten()(x)))


def graph_of(model: keras.Model, *, cam: bool) -> onnx.ModelProto:
    return convert(prepare(model, cam=cam, top_k=2, all_classes=False).served, 17)


def weights_of(model: onnx.ModelProto) -> int:
    """Return the number of elements of the large weights."""
    sizes = (math.prod(tensor.dims) for tensor in model.graph.initializer)
    return sum(size for size in sizes if size > 1000)


@pytest.mark.parametrize("cam", [True, False])
def test_convolutions_of_the_head_become_products(cam: bool) -> None:
    graph = graph_of(convolutional_head(), cam=cam).graph
    operators = Counter(node.op_type for node in graph.node)
    assert [node.name for node in graph.node if node.op_type == "Conv"] == ["features/Conv", "gate/Conv"]
    # With maps: the hidden layer and the product with the features; the logits and the derivatives by the hidden layer.
    assert (operators["MatMul"], operators["Gemm"]) == ((2, 2) if cam else (2, 0))
    assert operators["Transpose"] == 1


def test_maps_add_no_matrix_to_the_file() -> None:
    model = convolutional_head()
    with_maps, without = graph_of(model, cam=True), graph_of(model, cam=False)
    assert weights_of(with_maps) == weights_of(without) == 96 * 3 * 9 + 96 * 96 + 96 * 64 + 64 * 70
    assert with_maps.ByteSize() - without.ByteSize() < 4096


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(5, 1, strides=2, use_bias=False),
        layers.Conv2D(5, 1, padding="same", activation="silu", bias_initializer="random_normal"),
        layers.Conv2D(4, 1, groups=2),
        layers.Conv2D(5, 3, padding="same"),
    ],
    ids=["strides", "activation", "groups", "3x3"],
)
def test_result_is_that_of_the_convolution(layer: Any) -> None:
    image = layers.Input((8, 8, 6))
    x = layers.Flatten()(layer(layers.GlobalMaxPooling2D(keepdims=True)(image)))
    network = trace(keras.Model(image, layers.Dense(3)(x)))
    (value,) = network.steps[1].outputs
    pixels = np.concatenate([IMAGES, -IMAGES], axis=-1)
    (expected,), (result,) = (
        run(network, pixels, [value], call=call) for call in (None, call_with_fixed_shapes(network))
    )
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, atol=1e-6)
