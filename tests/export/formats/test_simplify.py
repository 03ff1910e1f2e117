"""Simplifications of an ONNX graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from camserve.export.formats.simplify import (
    merge_padding,
    remove_multiplication_by_one,
    transpose_pixels_before_cast,
)

IMAGES = np.random.default_rng(6).normal(size=(2, 3, 8, 9)).astype(np.float32)


def graph(
    pads: tuple[int, ...] = (0, 0, 1, 1, 0, 0, 1, 1),
    *,
    value: float = 0.0,
    before: str = "Relu",
    mode: str = "constant",
) -> onnx.ModelProto:
    nodes = [
        helper.make_node(before, ["image"], ["activation"]),
        helper.make_node("Pad", ["activation", "pads", "value"], ["padded"], mode=mode),
        helper.make_node("MaxPool", ["padded"], ["pooled"], kernel_shape=[3, 3], strides=[2, 2]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 9])
    pooled = helper.make_tensor_value_info("pooled", TensorProto.FLOAT, None)
    constants = [
        numpy_helper.from_array(np.array(pads), "pads"),
        numpy_helper.from_array(np.array(value, np.float32), "value"),
    ]
    made = helper.make_graph(nodes, "padding", [image], [pooled], constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto, *, optimized: bool = True) -> Any:
    level = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimized else level.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"image": IMAGES})[0]


@pytest.mark.parametrize("pads", [(0, 0, 1, 1, 0, 0, 1, 1), (0, 0, 0, 2, 0, 0, 1, 0)])
def test_padding_is_merged_into_the_pool(pads: tuple[int, ...]) -> None:
    model = graph(pads)
    expected = run(model)
    merge_padding(model.graph)
    assert [node.op_type for node in model.graph.node] == ["Relu", "MaxPool"]
    np.testing.assert_array_equal(run(model), expected)
    merged = model.SerializeToString()
    merge_padding(model.graph)
    assert model.SerializeToString() == merged


@pytest.mark.parametrize(
    "model",
    [
        graph(before="Neg"),
        graph(value=1.0),
        graph((0, 0, 3, 3, 0, 0, 3, 3)),
        graph((0, 1, 1, 1, 0, 0, 1, 1)),
        graph((0, 0, -1, 1, 0, 0, 1, 1)),
        graph(mode="reflect"),
    ],
    ids=["negative values", "not zeros", "wider than the window", "channels", "cropping", "reflection"],
)
def test_padding_that_could_change_an_output_is_kept(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    merge_padding(model.graph)
    assert model.SerializeToString() == before


def convolution(
    *, value: float = 0.0, own: tuple[int, ...] = (0, 1, 0, 1), auto_pad: str = "NOTSET"
) -> onnx.ModelProto:
    padding = {"pads": own} if auto_pad == "NOTSET" else {"auto_pad": auto_pad}
    nodes = [
        helper.make_node("Pad", ["image", "pads", "value"], ["padded"]),
        helper.make_node("Conv", ["padded", "kernel"], ["result"], kernel_shape=[3, 3], strides=[2, 2], **padding),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 9])
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, None)
    kernel = np.random.default_rng(1).normal(size=(2, 3, 3, 3)).astype(np.float32)
    constants = [
        numpy_helper.from_array(np.array((0, 0, 1, 2, 0, 0, 0, 1)), "pads"),
        numpy_helper.from_array(np.array(value, np.float32), "value"),
        numpy_helper.from_array(kernel, "kernel"),
    ]
    made = helper.make_graph(nodes, "padding", [image], [result], constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_padding_is_merged_into_the_convolution() -> None:
    model = convolution()
    expected = run(model)
    merge_padding(model.graph)
    assert [node.op_type for node in model.graph.node] == ["Conv"]
    np.testing.assert_allclose(run(model), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("model", [convolution(value=1.0), convolution(auto_pad="SAME_UPPER")], ids=["ones", "by size"])
def test_incompatible_padding_of_a_convolution_is_kept(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    merge_padding(model.graph)
    assert model.SerializeToString() == before


def product(*factors: float) -> onnx.ModelProto:
    """Return a graph that multiplies the image by constants before a Relu."""
    names = [f"result{place}" for place in range(len(factors))]
    nodes = [
        helper.make_node("Mul", [f"by{place}", before], [name])
        for place, (before, name) in enumerate(zip(["image", *names], names, strict=False))
    ]
    nodes.append(helper.make_node("Relu", [names[-1]], ["result"]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 9])
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, None)
    constants = [
        numpy_helper.from_array(np.array(factor, np.float32), f"by{place}") for place, factor in enumerate(factors)
    ]
    made = helper.make_graph(nodes, "product", [image], [result], constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_only_multiplication_by_one_is_removed() -> None:
    model = product(1.0, 2.0, 1.0, 1.0)
    expected = run(model)
    remove_multiplication_by_one(model.graph)
    assert [node.op_type for node in model.graph.node] == ["Mul", "Relu"]
    np.testing.assert_array_equal(run(model), expected)


def pixels(dtype: int, *, readers: int = 1) -> onnx.ModelProto:
    """Return a graph that converts pixels to float32 and transposes them."""
    nodes = [
        helper.make_node("Cast", ["image"], ["numbers"], to=TensorProto.FLOAT, name="cast"),
        helper.make_node("Transpose", ["numbers"], ["transposed"], perm=[0, 3, 1, 2], name="transpose"),
        helper.make_node("Neg", ["transposed"], ["result"]),
        *([helper.make_node("Abs", ["numbers"], ["other"])] if readers == 2 else []),
    ]
    image = helper.make_tensor_value_info("image", dtype, ["batch", 8, 9, 3])
    names = ["result", *(["other"] if readers == 2 else [])]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
    made = helper.make_graph(nodes, "pixels", [image], outputs)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_pixels_are_transposed_as_uint8() -> None:
    model = pixels(TensorProto.UINT8)
    transpose_pixels_before_cast(model.graph)
    links = {node.name: (node.input[0], node.output[0]) for node in model.graph.node}
    assert links["transpose"] == ("image", "numbers")
    assert links["cast"] == ("numbers", "transposed")
    nodes = sorted(model.graph.node, key=lambda node: ["transpose", "cast", ""].index(node.name))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    image = np.random.default_rng(1).integers(0, 256, (2, 8, 9, 3), np.uint8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": image})
    np.testing.assert_array_equal(found, -image.transpose(0, 3, 1, 2).astype(np.float32))


@pytest.mark.parametrize(
    "model", [pixels(TensorProto.DOUBLE), pixels(TensorProto.UINT8, readers=2)], ids=["not pixels", "read before"]
)
def test_other_casts_stay_before_the_transpose(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    transpose_pixels_before_cast(model.graph)
    assert model.SerializeToString() == before
