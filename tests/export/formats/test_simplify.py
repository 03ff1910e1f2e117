"""Simplifications of an ONNX graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from camserve.export.formats.simplify import merge_padding, remove_multiplication_by_one

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
