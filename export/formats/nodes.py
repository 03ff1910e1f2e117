"""Properties of nodes and tensors that several rewrites of an ONNX graph need."""

from __future__ import annotations

from camserve.export.frameworks import onnx

__all__ = ["permutation", "reader_count"]


def reader_count(graph: onnx.GraphProto, tensor: str) -> int:
    """Return how often the nodes of a graph read a tensor, and 1 more if it is an output of the graph."""
    outputs = [output.name for output in graph.output]
    return sum(list(node.input).count(tensor) for node in graph.node) + outputs.count(tensor)


def permutation(node: onnx.NodeProto) -> list[int] | None:
    """Return the order of axes of a Transpose; None if the node is another one, or reverses the axes by default."""
    orders = [list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"]
    return orders[0] if node.op_type == "Transpose" and orders else None
