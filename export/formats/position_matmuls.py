"""Products of positions with their own weights, as one MatMul per position.

`graph.position_products` multiplies the features of P positions, `[batch, P, channels]`, with the weights
`[P, channels, units]` between two transpositions. ONNX Runtime packs constant weights when it loads a file, but only
matrices: its product with P of them takes more than twice the time of P products (`benchmarks/gradient_maps.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from camserve.export.frameworks import onnx

import numpy as np

from camserve.export.formats.nodes import permutation, reader_count

__all__ = ["split_position_products"]

_NUMBER_OF_OUTPUTS_OPSET = 18  # the first whose Split requires the number of its outputs
_POSITIONS_FIRST = [1, 0, 2]  # the transposition before and after the product; its own inverse
_RANK = 3
_FEWEST_ELEMENTS = 2**16
"""Of a matrix: with fewer, as of large grids, the many nodes would take the time that packing saves."""


def split_position_products(graph: onnx.GraphProto, opset: int) -> None:
    """Replace each transposed product with a stack of large constant matrices by a product with each of them.

    Args:
        graph: A graph. Unused nodes and weights are left in it, and the order of its nodes is not kept.
        opset: Its operator set.
    """
    weights = {
        tensor.name: tensor
        for tensor in graph.initializer
        if len(tensor.dims) == _RANK and math.prod(tensor.dims[1:]) >= _FEWEST_ELEMENTS
    }
    producers = {name: node for node in graph.node for name in node.output}
    for last in [node for node in graph.node if permutation(node) == _POSITIONS_FIRST]:
        product = producers.get(last.input[0])
        if product is None or product.op_type != "MatMul" or product.input[1] not in weights:
            continue
        first = producers.get(product.input[0])
        if first is None or permutation(first) != _POSITIONS_FIRST or reader_count(graph, product.output[0]) != 1:
            continue
        stack = weights[product.input[1]]
        if reader_count(graph, stack.name) != 1:
            continue
        matrices = list(_matrices(stack))
        graph.initializer.extend(matrices)
        names = [matrix.name for matrix in matrices]
        graph.node.extend(_products(product.name, first.input[0], names, last.output[0], opset))
        for node in (product, last):
            graph.node.remove(node)
        stack.Clear()  # first, since `remove` compares
        graph.initializer.remove(stack)


def _matrices(stack: onnx.TensorProto) -> Iterator[onnx.TensorProto]:
    for position, matrix in enumerate(onnx.numpy_helper.to_array(stack)):
        yield onnx.numpy_helper.from_array(np.ascontiguousarray(matrix), f"{stack.name}/{position}")


def _products(name: str, features: str, matrices: Sequence[str], result: str, opset: int) -> list[Any]:
    """Return nodes for a product of `[batch, positions, channels]` with one matrix per position."""
    of_position = [f"{name}/{position}" for position in range(len(matrices))]
    count = {"num_outputs": len(matrices)} if opset >= _NUMBER_OF_OUTPUTS_OPSET else {}
    parts, products = ([f"{each}/{role}" for each in of_position] for role in ("features", "product"))
    make = onnx.helper.make_node
    return [
        make("Split", [features], parts, name=f"{name}/split", axis=1, **count),
        *(
            make("MatMul", [part, matrix], [product], name=each)
            for part, matrix, product, each in zip(parts, matrices, products, of_position, strict=True)
        ),
        make("Concat", products, [result], name=f"{name}/concat", axis=1),
    ]
