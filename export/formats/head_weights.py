"""One matrix for the logits and the maps.

The maps read the row of a class, the logits a product with the whole matrix; the converter writes both as constants,
one the transpose of the other. A Gemm reads a transposed matrix, without a Transpose node: ONNX Runtime on the CPU
repacks the matrix when it loads the file, and is as fast (`benchmarks/graph.py`). A SavedModel keeps two matrices,
because with a transposed one TensorFlow on the CPU takes up to 1.3 times as long for pooling, logits and maps.
"""

from __future__ import annotations

from typing import Any

from camserve.export.frameworks import onnx

import numpy as np

__all__ = ["share_head_weights"]

_RANK = 2


def share_head_weights(graph: onnx.GraphProto) -> None:
    """Replace the product and sum that compute an output by a Gemm, if another weight is the product's, transposed.

    Args:
        graph: A graph with the shapes of its outputs. Unused weights are left in it.
    """
    producers = {name: node for node in graph.node for name in node.output}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    vectors = [output.name for output in graph.output if len(output.type.tensor_type.shape.dim) == _RANK]
    for add in [producers[name] for name in vectors if producers[name].op_type == "Add"]:
        biases = [name for name in add.input if name in weights and len(weights[name].dims) == 1]
        products = [producers[name] for name in add.input if name in producers]
        if len(biases) == len(products) == 1 and products[0].op_type == "MatMul":
            _share(graph, add, products[0], biases[0], weights)


def _share(graph: onnx.GraphProto, add: Any, product: Any, bias: str, weights: dict[str, Any]) -> None:
    features, matrix = product.input
    readers = sum(list(node.input).count(product.output[0]) for node in graph.node)
    twin = _transposed(matrix, weights) if matrix in weights and readers == 1 else None
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
