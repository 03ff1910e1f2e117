"""Removal of reshapes that change nothing.

The converter writes the way of channels through pooling and back to an image, as in squeeze-and-excitation, as up to
three reshapes in a row. A runtime keeps its own layout of images only between convolutions that no reshape separates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from camserve.export.frameworks import onnx

__all__ = ["Shape", "inferred_shapes", "remove_reshapes_without_effect"]

_RESHAPES = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})
_LARGE = 1024  # elements; the values of smaller weights may be shapes

Shape = tuple[int | None, ...]


def remove_reshapes_without_effect(graph: onnx.GraphProto, opset: int) -> None:
    """Replace each reshaped tensor by the tensor from which it was reshaped, if that has the same shape.

    Reshapes keep the order of the elements, so that both are equal.

    Args:
        graph: A graph whose nodes are in topological order. Unused nodes are left in it.
        opset: Its operator set.
    """
    shapes = inferred_shapes(graph, opset)
    reshapes = {node.output[0]: node for node in graph.node if node.op_type in _RESHAPES}
    outputs = {output.name for output in graph.output}
    replaced: dict[str, str] = {}
    for name in reshapes:
        source = name
        while source in reshapes and name not in outputs:
            source = replaced.get(reshapes[source].input[0], reshapes[source].input[0])
            if _is_same(shapes.get(name), shapes.get(source)):
                replaced[name] = source
    for node in graph.node:
        node.input[:] = [replaced.get(name, name) for name in node.input]


def _is_same(one: Shape | None, other: Shape | None) -> bool:
    """Return whether two tensors with equal numbers of elements have the same shape; the first side may be unknown."""
    if one is None or other is None:
        return False
    return len(one) == len(other) and one[1:] == other[1:] and None not in one[1:]


def inferred_shapes(graph: onnx.GraphProto, opset: int) -> Mapping[str, Shape]:
    """Return the inferred shape of every tensor, None for each side that is not fixed."""
    skeleton = onnx.helper.make_model(
        onnx.helper.make_graph(list(graph.node), "shapes", list(graph.input), list(graph.output)),
        opset_imports=[onnx.helper.make_opsetid("", opset)],
    )
    for tensor in graph.initializer:  # without the values of large weights, which would be copied
        if math.prod(tensor.dims) > _LARGE:
            weight = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            skeleton.graph.input.append(weight)
        else:
            skeleton.graph.initializer.append(tensor)
    inferred = onnx.shape_inference.infer_shapes(skeleton, data_prop=True).graph
    return {
        value.name: tuple(
            side.dim_value if side.HasField("dim_value") else None for side in value.type.tensor_type.shape.dim
        )
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
        if value.type.tensor_type.HasField("shape")
    }
