"""A product with a stack of matrices becomes a product with each, without changing a value; others stay."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import pytest
from support.graphs import Graph, images, operators, run_onnx

from camserve.export.formats.position_matmuls import split_position_products

POSITIONS, CHANNELS, UNITS = 6, 32, 2048  # of 8 x 8 x 3 pixels; matrices of 65,536 elements
UNUSED = 2  # transpositions: that before the product, and one that each `Graph` begins with
STACK = np.random.default_rng(0).normal(size=(POSITIONS, CHANNELS, UNITS)).astype(np.float32)


def products(after: Any = (1, 0, 2), *, opset: int = 17, read_twice: str = "", stack: Any = STACK) -> onnx.ModelProto:
    """Return a graph multiplying each position with its matrix; `read_twice` names a tensor that is an output too."""
    graph = Graph()
    features = graph.add("Reshape", "image", graph.constant(np.array([-1, POSITIONS, CHANNELS])))
    first = graph.add("Transpose", features, perm=[1, 0, 2], name="first")
    weights = graph.constant(stack)
    product = graph.add("MatMul", first, weights, name="product")
    result = graph.add("Transpose", product, perm=list(after), name="result")
    outputs = [result, *(["product"] if read_twice == "product" else [])]
    outputs += [graph.add("Neg", weights)] if read_twice == "weights" else []
    return graph.model(tuple(outputs), opset=opset)


@pytest.mark.parametrize("opset", [11, 13, 17, 18])
def test_each_position_is_multiplied_by_itself(opset: int) -> None:
    model = products(opset=opset)
    expected = run_onnx(model, images(3))["result"]
    split_position_products(model.graph, opset)
    counts = Counter(operators(model))
    assert [counts[name] for name in ("Split", "MatMul", "Concat", "Transpose")] == [1, POSITIONS, 1, UNUSED]
    assert all(len(tensor.dims) < STACK.ndim for tensor in model.graph.initializer)
    np.testing.assert_allclose(run_onnx(model, images(3))["result"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        products(after=(0, 1, 2)),
        products(read_twice="product"),
        products(read_twice="weights"),
        products(stack=STACK[0]),
        products(stack=STACK[..., 1:]),
    ],
    ids=["positions stay first", "product is an output", "weights are read by others", "one matrix", "small matrices"],
)
def test_other_products_stay(model: onnx.ModelProto) -> None:
    before = model.SerializeToString(deterministic=True)
    split_position_products(model.graph, 17)
    assert model.SerializeToString(deterministic=True) == before
