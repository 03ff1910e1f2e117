"""What a layer costs if it stays float32, estimated from the graph alone, so that the same layers are always chosen."""

from __future__ import annotations

import math
from collections.abc import Iterable

from camserve.export.frameworks import onnx

__all__ = ["Expense"]

_ELEMENT = 100
"""How many multiply-adds in float32 instead of int8 take as long as an element of an activation in float32.

An element is dequantized or quantized, and brought into the order of channels that float32 convolutions read. Measured
with ONNX Runtime in ResNet50 on a CPU with VNNI: 4 to 15 ns for an element, about 0.08 ns for a multiply-add.
"""
_CHANNELS_LAST = frozenset({"Gemm", "MatMul"})


class Expense:
    """Estimates what nodes cost in float32 instead of int8.

    Args:
        model: The float32 graph.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = onnx.shape_inference.infer_shapes(model).graph
        self._weights = {tensor.name: math.prod(tensor.dims) for tensor in graph.initializer}
        self._shapes = {
            value.name: [dimension.dim_value or 1 for dimension in value.type.tensor_type.shape.dim]
            for value in (*graph.input, *graph.value_info, *graph.output)
        }

    def of(self, nodes: Iterable[onnx.NodeProto]) -> int:
        """Return the cost of nodes: the multiply-adds of an image, and its elements that they read and return.

        Args:
            nodes: Nodes that compute in float32 instead of int8.
        """
        nodes = list(nodes)
        tensors = {name for node in nodes for name in (*node.input, *node.output)} - set(self._weights)
        elements = sum(math.prod(self._shapes.get(name, ())) for name in tensors)
        return sum(map(self._multiply_adds, nodes)) + _ELEMENT * elements

    def _multiply_adds(self, node: onnx.NodeProto) -> int:
        """Return the multiply-adds with the weights of a node; 0 if it has none."""
        weights = self._weights.get(node.input[1], 0) if len(node.input) > 1 else 0
        shape = self._shapes.get(node.output[0], [])
        if not weights or len(shape) < 2:
            return 0
        channels = shape[-1] if node.op_type in _CHANNELS_LAST else shape[1]
        return weights * math.prod(shape) // channels
