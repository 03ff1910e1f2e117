"""The shortcuts of residual additions that TensorRT wants quantized."""

from __future__ import annotations

from collections.abc import Collection

from camserve.export.frameworks import onnx

__all__ = ["projected_shortcuts"]


def projected_shortcuts(graph: onnx.GraphProto, quantized: Collection[str]) -> list[str]:
    """Return the result of the shortcut for each addition of the results of two quantized nodes.

    The shortcut is the branch with the shorter way back to the tensor where both begin.

    Args:
        graph: A graph.
        quantized: Names of the convolutions and matrix products that are quantized.
    """
    producers = {name: node for node in graph.node for name in node.output}
    read = [name for node in graph.node for name in node.input] + [output.name for output in graph.output]
    results = {node.output[0] for node in graph.node if node.name in quantized}
    results = {name for name in results if read.count(name) == 1}
    additions = [node.input for node in graph.node if node.op_type == "Add" and results.issuperset(node.input)]
    return [_nearer(producers, one, other) for one, other in additions]


def _nearer(producers: dict[str, onnx.NodeProto], one: str, other: str) -> str:
    """Return which of two tensors has the shorter way back to the tensor from which both are computed."""
    ways = {name: _way_back(producers, name) for name in (one, other)}
    common = next((name for name in ways[one] if name in ways[other]), None)
    if common is None:
        return one
    return min(ways, key=lambda name: ways[name][common])


def _way_back(producers: dict[str, onnx.NodeProto], name: str) -> dict[str, int]:
    """Return the distance to a tensor, to the first input of its node, to the first input of that one's, and so on."""
    way = {name: 0}
    while name in producers and producers[name].input:
        name = producers[name].input[0]
        way[name] = len(way)
    return way
