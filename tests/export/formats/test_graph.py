"""Size and operators of the converted graph, which a newer converter must not increase unnoticed."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from keras import layers
from support.networks import enliven, small_network

from camserve.contract import PRESETS
from camserve.errors import ConversionError
from camserve.export import RECIPES
from camserve.export.formats import onnx_format
from camserve.export.formats.onnx_format import convert
from camserve.export.graph.prepare import prepare
from camserve.export.source import residual

EXHAUSTIVE = [pytest.mark.slow, pytest.mark.exhaustive]
IMAGES = np.random.default_rng(3).uniform(0, 1, (3, 16, 16, 4)).astype(np.float32)


def graph_of(model: keras.Model, *, cam: bool = True, opset: int = 17) -> onnx.ModelProto:
    return convert(prepare(model, cam=cam, top_k=5, all_classes=False).served, opset)


def short_resnet() -> keras.Model:
    """Build two blocks of Keras's ResNet50 between its stem and its head."""
    family: Any = importlib.import_module(keras.applications.ResNet50.__module__)

    def stages(x: Any) -> Any:
        return family.stack_residual_blocks_v1(x, 16, 2, stride1=1, name="conv2")

    return family.ResNet(stages, False, True, weights=None, input_shape=(64, 64, 3), classes=10)


def network_with_cells(side: int) -> keras.Model:
    """Build a short variant of `resnet50-signs`: 2×2 features for 64 pixels, 4×4 for 128."""
    image = layers.Input((side, side, 3))
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(residual.stem(image))
    x = residual.stage(x, (8, 8, 16), blocks=2, stride=8, name="stage2")
    x = layers.Flatten(name="flatten")(layers.AveragePooling2D(2, name="avg_pool")(x))
    return keras.Model(image, layers.Dense(6, "softmax", name="classes")(x))


def probabilities(model: onnx.ModelProto, images: Any) -> Any:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"image": images})[0]


@pytest.mark.parametrize(
    ("build", "convolutions", "nodes"),
    [
        pytest.param(short_resnet, 8, 29, id="short"),
        pytest.param(RECIPES["resnet50"].build, 53, 133, id="resnet50", marks=EXHAUSTIVE),
    ],
)
def test_graph_of_a_residual_network_is_minimal(
    build: Callable[[], keras.Model], convolutions: int, nodes: int
) -> None:
    model = graph_of(build())
    operators = Counter(node.op_type for node in model.graph.node)
    assert operators["Conv"] == convolutions
    assert operators["Transpose"] <= 1
    assert not {"BatchNormalization", "Pad", "Shape", "Slice", "Concat", "OneHot"} & set(operators)
    cam = [node.name for node in model.graph.node if node.name.startswith("cam/")]
    head = [node.name for node in model.graph.node if node.name.split("/")[0] in ("avg_pool", "predictions")]
    assert len(cam) + len(head) <= 12
    assert len(model.graph.node) == nodes
    assert (model.ir_version, model.opset_import[0].version) == (8, 17)
    free = [
        dim.dim_param for value in (*model.graph.input, *model.graph.output) for dim in value.type.tensor_type.shape.dim
    ]
    assert {name for name in free if name} == {"batch"}


@pytest.mark.parametrize(
    ("build", "convolutions"),
    [
        pytest.param(partial(network_with_cells, side=64), 8, id="one cell"),
        pytest.param(partial(network_with_cells, side=128), 8, id="four cells"),
        pytest.param(RECIPES["resnet50-signs"].build, 53, id="resnet50-signs", marks=EXHAUSTIVE),
        pytest.param(RECIPES["resnet50-signs-126"].build, 53, id="resnet50-signs-126", marks=EXHAUSTIVE),
    ],
)
def test_head_with_cells_computes_no_shapes(build: Callable[[], keras.Model], convolutions: int) -> None:
    operators = Counter(node.op_type for node in graph_of(build()).graph.node)
    assert operators["Conv"] == convolutions
    assert not {"Shape", "Slice", "Concat", "Squeeze", "Pad"} & set(operators)


def test_nodes_and_weights_are_named_after_layers() -> None:
    model = graph_of(enliven(small_network("global-average"), PRESETS["unit"]))
    names = [node.name for node in model.graph.node]
    assert names[:3] == ["conv1/Transpose", "conv1/Conv", "relu1/Relu"]
    assert {"conv1/Conv.weight", "conv1/Conv.bias", "conv2/Conv.bias"} <= {
        tensor.name for tensor in model.graph.initializer
    }
    assert len(set(names)) == len(names)
    assert {name.split("/")[0] for name in names} <= {
        "cam", "classes", "conv1", "conv2", "features", "pool", "probabilities", "relu1",
    }  # fmt: skip


@pytest.mark.parametrize("pooling", ["global-average", "average", "flatten"])
def test_conversion_is_deterministic(pooling: str) -> None:
    model = enliven(small_network(pooling), PRESETS["unit"])
    assert graph_of(model).SerializeToString() == graph_of(model).SerializeToString()


def test_two_branch_activation_adds_no_transpose() -> None:
    image = layers.Input((16, 16, 4))
    x = layers.Conv2D(8, 3, activation="hard_swish")(image)
    x = layers.Conv2D(8, 3, activation="hard_sigmoid")(x)
    model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    operators = Counter(node.op_type for node in graph_of(model).graph.node)
    assert operators["Transpose"] == 1


def test_swish_is_sigmoid_and_mul() -> None:
    image = layers.Input((16, 16, 4))
    x = layers.Conv2D(8, 3, activation="swish", name="swish")(image)
    model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    names = [node.name for node in graph_of(model).graph.node if node.name.startswith("swish/")]
    assert [name.split("/")[1] for name in names if "Transpose" not in name] == ["Conv", "Sigmoid", "Mul"]


def test_padding_is_merged_into_the_convolution() -> None:
    image = layers.Input((16, 16, 4))
    x = layers.Conv2D(8, 3, strides=2)(layers.ZeroPadding2D(((0, 1), (0, 1)))(image))
    model = keras.Model(image, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(x)))
    graph = graph_of(model)
    assert "Pad" not in {node.op_type for node in graph.graph.node}
    np.testing.assert_allclose(probabilities(graph, IMAGES), model(IMAGES, training=False), atol=1e-6)


def grouped() -> keras.Model:
    image = layers.Input((16, 16, 4))
    x = layers.Conv2D(8, 3, groups=4)(image)
    x = layers.BatchNormalization()(x)
    x = layers.Conv2D(12, 3, groups=2, strides=2, activation="relu")(x)
    return keras.Model(image, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(x)))


def test_grouped_convolution_is_one_node() -> None:
    model = grouped()
    graph = graph_of(model)
    groups = [attribute.i for node in graph.graph.node for attribute in node.attribute if attribute.name == "group"]
    assert groups == [4, 2]
    np.testing.assert_allclose(probabilities(graph, IMAGES), model(IMAGES, training=False), atol=1e-6)


def test_exact_gelu_is_converted() -> None:
    image = layers.Input((16, 16, 4))
    x = layers.Conv2D(8, 3, activation="gelu", kernel_initializer=keras.initializers.RandomNormal(stddev=2.0))(image)
    model = keras.Model(image, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(x)))
    np.testing.assert_allclose(probabilities(graph_of(model), IMAGES), model(IMAGES, training=False), atol=1e-6)


def test_kept_batchnorm_is_mul_and_add() -> None:
    image = layers.Input((16, 16, 4))
    x = layers.BatchNormalization(name="first")(image)
    x = layers.Conv2D(8, 3, activation="relu")(x)
    x = layers.BatchNormalization(name="second")(x)
    model = keras.Model(image, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(layers.ReLU()(x))))
    for norm in ("first", "second"):
        model.get_layer(norm).set_weights(
            [
                np.random.default_rng(1).uniform(0.5, 2, size)
                for size in [weight.shape for weight in model.get_layer(norm).get_weights()]
            ]
        )
    graph = graph_of(model)
    operators = Counter(node.name for node in graph.graph.node if node.name.split("/")[0] in ("first", "second"))
    assert set(operators) == {"first/Transpose", "first/Mul", "first/Add", "second/Mul", "second/Add"}
    np.testing.assert_allclose(probabilities(graph, IMAGES), model(IMAGES, training=False), atol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
def test_dense_layer_on_a_grid_computes_no_shapes(bias: bool) -> None:
    image = layers.Input((16, 16, 4))
    x = layers.Dense(12, "gelu", use_bias=bias, name="grid")(layers.Conv2D(8, 3)(image))
    x = layers.Dense(8, "softmax", use_bias=bias)(layers.Reshape((14 * 14, 12))(x))
    model = keras.Model(image, layers.Dense(3, "softmax")(layers.GlobalAveragePooling1D()(x)))
    graph = graph_of(model, cam=False)
    operators = Counter(node.op_type for node in graph.graph.node)
    assert not {"Shape", "Gather", "Concat", "ReduceProd"} & set(operators)
    assert operators["MatMul"] == 3
    np.testing.assert_allclose(probabilities(graph, IMAGES), model(IMAGES, training=False), atol=1e-6)


def test_dense_layer_accepts_a_grid_whose_shape_tensorflow_does_not_know() -> None:
    class Reshaped(layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return tf.reshape(inputs, tf.cast(tf.cast(tf.shape(inputs), tf.float32), tf.int32))

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    image = layers.Input((16, 16, 4))
    x = layers.Dense(6, "relu")(Reshaped()(layers.Conv2D(8, 3)(image)))
    model = keras.Model(image, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(x)))
    np.testing.assert_allclose(probabilities(graph_of(model), IMAGES), model(IMAGES, training=False), atol=1e-6)


def test_unsupported_operator_error_names_the_layer() -> None:
    @keras.saving.register_keras_serializable("tests")
    class Bessel(keras.layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            import tensorflow as tf

            return tf.math.special.bessel_i0(inputs)

    image = layers.Input((16, 16, 4))
    x = Bessel(name="bessel")(image)
    model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    with pytest.raises(ConversionError, match=r"BesselI0 of layer 'bessel'"):
        graph_of(model)


def test_tracing_restores_eager_mode() -> None:
    import tensorflow as tf

    served = prepare(small_network(), cam=True, top_k=5, all_classes=False).served
    onnx_format._traced(served)
    assert not tf.config.functions_run_eagerly()


def test_layers_with_reserved_names_are_not_in_the_head() -> None:
    image = layers.Input((16, 16, 4))
    x = layers.Conv2D(8, 3, activation="relu", name="cam")(image)
    x = layers.Conv2D(8, 3, activation="relu", name="pixels")(x)
    inner = layers.Input(x.shape[1:])
    x = keras.Model(inner, layers.Conv2D(8, 3, name="classes")(inner))(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    served = prepare(
        keras.Model(image, layers.Dense(3, name="classes")(x)), cam=True, top_k=3, all_classes=False
    ).served
    assert served.steps == ("cam_2", "pixels_2", "classes", "pool", "classes_2")
    assert served.head == {"pool", "classes_2"}


def test_head_without_maps_starts_at_the_last_weighted_layer() -> None:
    image = layers.Input((16, 16, 4))
    x = layers.GlobalAveragePooling2D(keepdims=True)(layers.Conv2D(8, 3, name="body")(image))
    x = layers.Flatten(name="flat")(layers.Conv2D(3, 1, name="classes")(x))
    served = prepare(
        keras.Model(image, layers.Softmax(name="softmax")(x)), cam=False, top_k=3, all_classes=False
    ).served
    assert served.head == {"classes", "flat", "probabilities"}


def test_layer_may_open_name_scopes() -> None:
    @keras.saving.register_keras_serializable("tests")
    class Scoped(keras.layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            import tensorflow as tf

            with tf.name_scope("step99"), tf.name_scope("cam"):
                return tf.math.abs(inputs)

    image = layers.Input((16, 16, 4))
    x = layers.Conv2D(8, 3)(Scoped(name="scoped")(image))
    graph = graph_of(keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x))))
    assert "scoped/Abs" in {node.name for node in graph.graph.node}


@pytest.mark.parametrize("divisor", [41.0, 6.0, 3.0])
def test_division_before_rounding_is_kept(divisor: float) -> None:
    image = layers.Input((16, 16, 4))
    x = layers.Conv2D(8, 3)(keras.ops.floor(image / divisor))
    model = keras.Model(image, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(x)))
    pixels = np.arange(3 * 16 * 16 * 4).reshape(3, 16, 16, 4).astype(np.float32) % 256
    np.testing.assert_allclose(probabilities(graph_of(model), pixels), model(pixels, training=False), atol=1e-6)


def test_float64_inside_a_layer_is_converted() -> None:
    @keras.saving.register_keras_serializable("tests")
    class Double(keras.layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            doubled = keras.ops.cast(inputs, "float64")
            return keras.ops.cast(keras.activations.relu6(doubled + 3) / 6, "float32")

    image = layers.Input((16, 16, 4))
    x = layers.Conv2D(8, 3)(Double()(image))
    model = keras.Model(image, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(x)))
    np.testing.assert_allclose(probabilities(graph_of(model), IMAGES), model(IMAGES, training=False), atol=1e-6)


def test_maps_of_hidden_layers_read_the_weights_of_these_layers() -> None:
    image = layers.Input((16, 16, 3))
    features = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(image)
    hidden = layers.Dense(64, "relu", name="far")(layers.Flatten()(features))
    hidden = layers.Dense(80, "relu", name="near")(hidden)
    model = keras.Model(image, layers.Dense(4, "softmax")(hidden))
    with_maps, without = (
        convert(prepare(model, cam=cam, top_k=2, all_classes=False).served, 17) for cam in (True, False)
    )
    bytes_of = [sum(len(tensor.raw_data) for tensor in each.graph.initializer) for each in (with_maps, without)]
    assert bytes_of[0] - bytes_of[1] < 1_000
    products = [node.op_type for node in with_maps.graph.node if "far/MatMul.weight" in node.input]
    assert sorted(products) == ["Gemm", "MatMul"]  # of the derivatives, and of the layer
    assert {node.op_type for node in with_maps.graph.node}.isdisjoint({"ReluGrad", "Gradient", "If", "Loop"})


def test_maps_of_a_head_that_is_not_linear_are_those_of_the_newest_operators_with_the_oldest() -> None:
    image = layers.Input((16, 16, 4))
    x = layers.GlobalMaxPooling2D()(layers.Conv2D(8, 3, activation="sigmoid")(image))
    x = layers.Dense(16, "relu")(x)
    model = keras.Model(image, layers.Dense(5, "softmax")(x))
    oldest, newest = (
        onnxruntime.InferenceSession(graph_of(model, opset=opset).SerializeToString()).run(["cam"], {"image": IMAGES})
        for opset in (9, 18)
    )
    np.testing.assert_allclose(oldest, newest, rtol=1e-4, atol=1e-6)
