"""Deterministic order and names of an ONNX graph."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from camserve.export.formats.canonical import canonicalize, layer_of

STEPS = ("conv1", "relu1", "conv1", "head")


def graph(counter: int = 0, *, reversed_order: bool = False, scopes: bool = True) -> onnx.GraphProto:
    """Return a graph with a layer called twice, a renamed node, a shared weight and an unused one."""

    def name(text: str) -> str:
        return f"{text}__{counter}" if counter else text

    scope = "step{}/" if scopes else "node{}_"
    first, second = name("step0/kernel"), name("const_fold")
    nodes = [
        helper.make_node("Mul", ["image", first], [name("a")], name=name(scope.format(0) + "mul")),
        helper.make_node("Relu", [name("a")], [name("b")], name=name(scope.format(1) + "relu")),
        helper.make_node("Mul", [name("b"), first], [name("c")], name=name(scope.format(2) + "mul")),
        helper.make_node("Add", [name("c"), second], ["logits"], name=name("Add")),
        helper.make_node("Softmax", ["logits"], ["probabilities"], name=name("step3/softmax")),
        helper.make_node("Exp", [name("a")], [name("unused_exp")], name=name("step1/exp")),
    ]
    weights = [
        numpy_helper.from_array(np.full(4, value, np.float32), text)
        for value, text in ((2, first), (3, second), (5, name("unused")))
    ]
    tensors = [
        helper.make_tensor_value_info(text, TensorProto.FLOAT, ["batch", 4])
        for text in ("image", "logits", "probabilities")
    ]
    if reversed_order:
        nodes.reverse()
        weights.reverse()
    return helper.make_graph(nodes, "graph", tensors[:1], [tensors[2], tensors[1]], weights)


def canonical(graph: onnx.GraphProto, steps: tuple[str, ...]) -> onnx.GraphProto:
    made = onnx.GraphProto()
    canonicalize(graph, steps, made)
    return made


def test_nodes_are_named_after_layers() -> None:
    made = canonical(graph(7), STEPS)
    assert [node.name for node in made.node] == ["conv1/Mul", "relu1/Relu", "conv1/Mul_2", "conv1/Add", "head/Softmax"]
    assert [tensor.name for tensor in made.initializer] == ["conv1/Mul.input1", "conv1/Add.input1"]
    assert [list(node.output) for node in made.node] == [
        ["conv1/Mul:0"],
        ["relu1/Relu:0"],
        ["conv1/Mul_2:0"],
        ["logits"],
        ["probabilities"],
    ]


def test_bytes_depend_on_neither_order_nor_counters() -> None:
    expected = canonical(graph(), STEPS).SerializeToString()
    assert canonical(graph(41), STEPS).SerializeToString() == expected
    assert canonical(graph(reversed_order=True), STEPS).SerializeToString() == expected


def test_bytes_depend_on_the_weights() -> None:
    other = graph()
    other.initializer[0].CopyFrom(numpy_helper.from_array(np.full(4, 2.5, np.float32), other.initializer[0].name))
    assert canonical(other, STEPS).SerializeToString() != canonical(graph(), STEPS).SerializeToString()


def test_repetition_keeps_the_order() -> None:
    once = canonical(graph(), STEPS)
    again = canonical(once, STEPS)
    assert [node.op_type for node in again.node] == [node.op_type for node in once.node]
    assert len(again.initializer) == len(once.initializer)


def test_layer_is_read_from_a_name() -> None:
    assert layer_of("step3/dense/MatMul__12", STEPS) == "head"
    assert layer_of("cam/TopKV2", STEPS) == "cam"
    assert layer_of("pixels/Cast", STEPS) == "pixels"
    assert layer_of("Conv__202", STEPS) is None
