"""The Transpose of images from NHWC to NCHW, before the arithmetic on pixels instead of after it.

The converter moves it behind conversion, rescaling and normalization. Before them it moves pixels of one byte, and the
operands of the channels are then applied to whole planes, which is several times faster on a CPU.
"""

from __future__ import annotations

from typing import Any

from camserve.export.frameworks import onnx

import numpy as np

from camserve.export.formats.nodes import permutation, reader_count

__all__ = ["transpose_input_first"]

_ELEMENTWISE = frozenset({"Add", "Cast", "Div", "Mul", "Sub"})


def transpose_input_first(graph: onnx.GraphProto) -> None:
    """Move a Transpose before the elementwise arithmetic with constants that leads from the input to it.

    The values do not change. Names of the tensors between are kept; the order of the nodes may not be topological.
    """
    inputs = {entry.name for entry in graph.input}
    for node in list(graph.node):
        perm = permutation(node)
        way = _way_back(graph, node) if perm else []
        if perm and way and _variable(graph, way[-1]) in inputs:
            _move(graph, node, way, perm)


def _way_back(graph: onnx.GraphProto, transpose: Any) -> list[Any]:
    """Return the elementwise nodes before a Transpose, the last first, each read by nothing but the next."""
    producers = {node.output[0]: node for node in graph.node}
    way: list[Any] = []
    name = transpose.input[0]
    while name in producers and producers[name].op_type in _ELEMENTWISE and reader_count(graph, name) == 1:
        before = _variable(graph, producers[name])
        if before is None:
            break
        way.append(producers[name])
        name = before
    return way


def _variable(graph: onnx.GraphProto, node: Any) -> str | None:
    """Return the only input of a node that is not constant; None if there are several."""
    constants = {tensor.name for tensor in graph.initializer}
    variables = [name for name in node.input if name not in constants]
    return variables[0] if len(variables) == 1 else None


def _move(graph: onnx.GraphProto, transpose: Any, way: list[Any], perm: list[int]) -> None:
    last, first = way[0], way[-1]
    entry, result = str(_variable(graph, first)), transpose.output[0]
    transposed = f"{entry}:transposed{perm}"  # the same for each Transpose that reorders the axes of this entry so
    for node in way:
        _transpose_constants(graph, node, perm)
    first.input[:] = [transposed if name == entry else name for name in first.input]
    last.output[0] = result
    if any(transposed in node.output for node in graph.node):
        graph.node.remove(transpose)
        return
    transpose.name = f"{first.name}:transpose"  # at the entry, it belongs to the layer that reads it
    transpose.input[0], transpose.output[0] = entry, transposed


def _transpose_constants(graph: onnx.GraphProto, node: Any, perm: list[int]) -> None:
    """Transpose the constants of a node, which other nodes may read as they are, in copies."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for place, name in enumerate(node.input):
        if name in constants:
            value = onnx.numpy_helper.to_array(constants[name])
            if value.size > 1:
                of_rank = value.reshape((1,) * (len(perm) - value.ndim) + value.shape)
                copy = np.ascontiguousarray(of_rank.transpose(perm))
                node.input[place] = f"{node.name}:transposed{place}"
                graph.initializer.append(onnx.numpy_helper.from_array(copy, node.input[place]))
