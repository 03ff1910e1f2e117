"""Padding before a max pool."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from camserve.export.simplify import merge_padding_into_max_pool

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


def run(model: onnx.ModelProto) -> Any:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"image": IMAGES})[0]


@pytest.mark.parametrize("pads", [(0, 0, 1, 1, 0, 0, 1, 1), (0, 0, 0, 2, 0, 0, 1, 0)])
def test_a_pool_that_pads_by_itself_says_the_same(pads: tuple[int, ...]) -> None:
    model = graph(pads)
    expected = run(model)
    assert merge_padding_into_max_pool(model.graph) == 1
    assert [node.op_type for node in model.graph.node] == ["Relu", "MaxPool"]
    assert list(model.graph.initializer) == []
    np.testing.assert_array_equal(run(model), expected)
    assert merge_padding_into_max_pool(model.graph) == 0


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
    ids=["negative before", "not zeros", "wider than the window", "channels", "cropping", "reflection"],
)
def test_padding_that_could_change_an_answer_stays(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    assert merge_padding_into_max_pool(model.graph) == 0
    assert model.SerializeToString() == before
