"""The head's matrix is stored once where logits and maps multiply by the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from camserve.export.formats.head_weights import multiply_by_transposed, share_head_weights
from camserve.export.formats.reshapes import inferred_shapes

RNG = np.random.default_rng(8)
MATRIX = RNG.normal(size=(12, 6)).astype(np.float32)
FEATURES = RNG.normal(size=(5, 12)).astype(np.float32)


def head(twin: Any, *, bias: bool = True, rank: int = 2, readers: int = 1) -> onnx.ModelProto:
    """Return a graph of logits and of the rows of a second matrix, for the classes 1 and 4."""
    lead: list[Any] = ["batch"] + [1] * (rank - 2)
    nodes = [
        helper.make_node("MatMul", ["features", "matrix"], ["products" if bias else "logits"], name="classes/MatMul"),
        *([helper.make_node("Add", ["products", "bias"], ["logits"])] if bias else []),
        *([helper.make_node("Neg", ["products"], ["negative"])] if readers == 2 else []),
        helper.make_node("Gather", ["twin", "classes"], ["rows"]),
    ]
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, [*lead, 6]),
        helper.make_tensor_value_info("rows", TensorProto.FLOAT, [2, 12]),
        *([helper.make_tensor_value_info("negative", TensorProto.FLOAT, [*lead, 6])] if readers == 2 else []),
    ]
    constants = [
        numpy_helper.from_array(MATRIX, "matrix"),
        numpy_helper.from_array(np.ascontiguousarray(twin), "twin"),
        numpy_helper.from_array(np.arange(6, dtype=np.float32), "bias"),
        numpy_helper.from_array(np.array([1, 4]), "classes"),
    ]
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, [*lead, 12])
    graph = helper.make_graph(nodes, "head", [features], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def answers(model: onnx.ModelProto) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(["logits", "rows"], {"features": FEATURES}))


def changed(matrix: Any) -> Any:
    other = matrix.copy()
    other[3, 7] = np.nextafter(other[3, 7], np.float32(9))
    return other


def test_product_reads_the_matrix_of_the_maps() -> None:
    model = head(MATRIX.T)
    expected = answers(model)
    share_head_weights(model.graph, inferred_shapes(model.graph, 17))
    (gemm,) = [node for node in model.graph.node if node.op_type == "Gemm"]
    assert (gemm.name, list(gemm.input)) == ("classes/MatMul", ["features", "twin", "bias"])
    assert not any("matrix" in node.input for node in model.graph.node)
    onnx.checker.check_model(model, full_check=True)
    for output, before in zip(answers(model), expected, strict=True):
        np.testing.assert_allclose(output, before, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        head(changed(MATRIX.T)),
        head(MATRIX.T.reshape(6, 12, 1)),
        head(MATRIX.T.astype(np.float64)),
        head(MATRIX.T, bias=False),
        head(MATRIX.T, rank=3),
        head(MATRIX.T, readers=2),
    ],
    ids=["one bit differs", "other shape", "other type", "no bias", "not a vector", "another reader"],
)
def test_other_products_are_kept(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    share_head_weights(model.graph, inferred_shapes(model.graph, 17))
    assert model.SerializeToString() == before


def backward(*, permutation: tuple[int, ...] = (1, 0), readers: int = 1) -> onnx.ModelProto:
    """Return a graph of the product of features with a transposed matrix, written as (W xᵀ)ᵀ."""
    nodes = [
        helper.make_node("Transpose", ["features"], ["columns"], perm=[1, 0]),
        helper.make_node("MatMul", ["matrix", "columns"], ["products"], name="cam/MatMul"),
        helper.make_node("Transpose", ["products"], ["rows"], perm=list(permutation)),
        *([helper.make_node("Neg", ["products"], ["negative"])] if readers == 2 else []),
    ]
    outputs = [
        helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, None]),
        *([helper.make_tensor_value_info("negative", TensorProto.FLOAT, [None, None])] if readers == 2 else []),
    ]
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 6])
    graph = helper.make_graph(nodes, "backward", [features], outputs, [numpy_helper.from_array(MATRIX, "matrix")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_transposed_product_is_one_gemm() -> None:
    model = backward()
    multiply_by_transposed(model.graph, 11)
    (gemm,) = [node for node in model.graph.node if node.op_type != "Transpose"]
    assert (gemm.op_type, gemm.name, list(gemm.input)) == ("Gemm", "cam/MatMul", ["features", "matrix"])
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (rows,) = session.run(["rows"], {"features": FEATURES[:, :6]})
    np.testing.assert_allclose(rows, FEATURES[:, :6] @ MATRIX.T, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "opset"),
    [(backward(permutation=(0, 1)), 17), (backward(readers=2), 17), (backward(), 10)],
    ids=["order", "reader", "no Gemm without bias"],
)
def test_other_transposed_products_are_kept(model: onnx.ModelProto, opset: int) -> None:
    before = model.SerializeToString()
    multiply_by_transposed(model.graph, opset)
    assert model.SerializeToString() == before
