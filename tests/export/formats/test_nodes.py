"""Properties of the nodes and tensors of an ONNX graph."""

from __future__ import annotations

import onnx
import pytest

from camserve.export.formats.nodes import permutation, reader_count

FLOAT = onnx.TensorProto.FLOAT


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (onnx.helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0, 2]), [1, 0, 2]),
        (onnx.helper.make_node("Transpose", ["x"], ["y"]), None),
        (onnx.helper.make_node("Relu", ["x"], ["y"]), None),
    ],
    ids=["with an order", "reversed by default", "another node"],
)
def test_permutation_of_a_transpose(node: onnx.NodeProto, expected: list[int] | None) -> None:
    assert permutation(node) == expected


def test_readers_are_inputs_of_nodes_and_outputs_of_the_graph() -> None:
    nodes = [onnx.helper.make_node("Mul", ["x", "x"], ["y"]), onnx.helper.make_node("Relu", ["y"], ["z"])]
    values = {name: onnx.helper.make_tensor_value_info(name, FLOAT, [1]) for name in "xyz"}
    graph = onnx.helper.make_graph(nodes, "graph", [values["x"]], [values["y"], values["z"]])
    assert {name: reader_count(graph, name) for name in ("x", "y", "z", "none")} == {"x": 2, "y": 2, "z": 1, "none": 0}
