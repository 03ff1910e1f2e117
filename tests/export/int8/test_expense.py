"""The estimated cost of layers in float32."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from camserve.export.int8.expense import Expense

ELEMENT = 100
IMAGE, GRID = 3 * 8 * 8, 4 * 8 * 8


def network() -> onnx.ModelProto:
    """Return a 3x3 convolution of 8x8 positions from 3 to 4 channels, a ReLU, and a matrix product with 5 results."""
    weights = [
        helper.make_tensor("kernel", TensorProto.FLOAT, [4, 3, 3, 3], [0.0] * 108),
        helper.make_tensor("shape", TensorProto.INT64, [2], [-1, GRID]),
        helper.make_tensor("matrix", TensorProto.FLOAT, [GRID, 5], [0.0] * GRID * 5),
    ]
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["a"], name="conv/Conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="conv/Relu"),
        helper.make_node("Reshape", ["b", "shape"], ["c"], name="flatten/Reshape"),
        helper.make_node("MatMul", ["c", "matrix"], ["d"], name="dense/MatMul"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 8, 8])
    result = helper.make_tensor_value_info("d", TensorProto.FLOAT, ["n", 5])
    graph = helper.make_graph(nodes, "network", [image], [result], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_cost_is_the_multiply_adds_and_the_elements_of_each_tensor_once() -> None:
    conv, relu, _, dense = network().graph.node
    expense = Expense(network())
    assert expense.of([conv]) == 8 * 8 * 4 * 27 + ELEMENT * (IMAGE + GRID)
    assert expense.of([conv, relu]) == 8 * 8 * 4 * 27 + ELEMENT * (IMAGE + 2 * GRID)
    assert expense.of([dense]) == GRID * 5 + ELEMENT * (GRID + 5)
    assert expense.of([]) == 0
