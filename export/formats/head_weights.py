"""One matrix for the logits and the maps.

The maps read the row of a class, the logits a product with the whole matrix; the converter writes both as constants,
one the transpose of the other. A Gemm reads a transposed matrix, without a Transpose node: ONNX Runtime on the CPU
repacks the matrix when it loads the file, and is as fast (`benchmarks/graph.py`). A SavedModel keeps two matrices,
because with a transposed one TensorFlow on the CPU takes up to 1.3 times as long for pooling, logits and maps.

Maps of a head that is not linear multiply derivatives with the matrices of its layers, transposed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from camserve.export.frameworks import onnx

import numpy as np

from camserve.export.formats.nodes import permutation, reader_count
from camserve.export.formats.reshapes import Shape

__all__ = ["multiply_by_transposed", "share_head_weights"]

_RANK = 2
_SWAPPED = [1, 0]
_OPSET_WITHOUT_BIAS = 11  # the first whose Gemm requires no bias


def share_head_weights(graph: onnx.GraphProto, shapes: Mapping[str, Shape]) -> None:
    """Replace a product and a sum by a Gemm, if another weight is that of the product, transposed.

    Args:
        graph: A graph. Unused weights are left in it, and the order of its nodes is not kept.
        shapes: The result of `reshapes.inferred_shapes`.
    """
    producers = {name: node for node in graph.node for name in node.output}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for add in [node for node in graph.node if node.op_type == "Add"]:
        biases = [name for name in add.input if name in weights and len(weights[name].dims) == 1]
        products = [producers[name] for name in add.input if name in producers]
        if len(biases) == len(products) == 1 and products[0].op_type == "MatMul":
            features = products[0].input[0]
            if len(shapes.get(features, ())) == _RANK:
                _share(graph, add, products[0], biases[0], weights)


def multiply_by_transposed(graph: onnx.GraphProto, opset: int) -> None:
    """Replace (W xᵀ)ᵀ by a Gemm, which computes x Wᵀ without transposing, from opset 11.

    `weighted_rules` writes the product so that the converter stores W as it is.

    Args:
        graph: A graph. The order of its nodes is not kept.
        opset: Its operator set.
    """
    if opset < _OPSET_WITHOUT_BIAS:
        return
    producers = {name: node for node in graph.node for name in node.output}
    weights = {tensor.name for tensor in graph.initializer}
    for outer in [node for node in graph.node if permutation(node) == _SWAPPED]:
        product = producers.get(outer.input[0])
        if product is None or product.op_type != "MatMul" or product.input[0] not in weights:
            continue
        inner = producers.get(product.input[1])
        if inner is None or permutation(inner) != _SWAPPED or reader_count(graph, product.output[0]) != 1:
            continue
        gemm = onnx.helper.make_node(
            "Gemm", [inner.input[0], product.input[0]], list(outer.output), name=product.name, transB=1
        )
        graph.node.append(gemm)
        graph.node.remove(outer)
        graph.node.remove(product)


def _share(graph: onnx.GraphProto, add: Any, product: Any, bias: str, weights: dict[str, Any]) -> None:
    features, matrix = product.input
    twin = _transposed(matrix, weights) if matrix in weights and reader_count(graph, product.output[0]) == 1 else None
    if twin is None:
        return
    graph.node.append(
        onnx.helper.make_node("Gemm", [features, twin, bias], list(add.output), name=product.name, transB=1)
    )
    graph.node.remove(add)
    graph.node.remove(product)


def _transposed(matrix: str, weights: dict[str, Any]) -> str | None:
    """Return the name of the weight that is the transpose of a matrix; None if there is none."""
    tensor = weights[matrix]
    twins = [
        name
        for name, other in weights.items()
        if len(tensor.dims) == _RANK and other.data_type == tensor.data_type and other.dims == tensor.dims[::-1]
    ]
    value = onnx.numpy_helper.to_array(tensor)
    equal = (name for name in twins if np.array_equal(onnx.numpy_helper.to_array(weights[name]), value.T))
    return next(equal, None)
