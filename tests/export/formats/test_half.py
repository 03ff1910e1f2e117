"""Conversion to half precision: which nodes are converted, and which values overflow."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from support.graphs import Graph, images, operators, run_onnx

from camserve.errors import ConversionError
from camserve.export.formats.half import LARGEST_HALF, largest_activation, to_half_precision


def network(dtype: int = TensorProto.FLOAT, *, scale: float = 1.0) -> tuple[onnx.ModelProto, list[str]]:
    graph = Graph(dtype)
    x = graph.add("Relu", graph.convolve(graph.features, 8))
    y = graph.add("Clip", graph.convolve(x, 8, group=8), "", graph.constant(np.float32(6 * scale)))
    return graph.classifier(graph.add("Add", x, y))


def wide_head(weight: float) -> tuple[onnx.ModelProto, list[str]]:
    """Return a graph with 2,048 feature channels of about 40 and a linear layer with equal weights."""
    graph = Graph()
    channels = 2048
    weights = graph.constant(np.zeros((channels, 3, 1, 1), np.float32))
    bias = graph.constant(np.linspace(39, 41, channels, dtype=np.float32))
    graph.channels = channels
    features = graph.add("Relu", graph.add("Conv", graph.features, weights, bias))
    return graph.classifier(features, dense=np.full((channels, 4), weight, np.float32))


def types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    return {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.value_info, *graph.output)}


def run_in_float16(model: onnx.ModelProto, batch: Any) -> dict[str, Any]:
    """Run the graph with float16 arithmetic."""
    names = [output.name for output in model.graph.output]
    with np.errstate(over="ignore", invalid="ignore"):
        return dict(zip(names, ReferenceEvaluator(model).run(None, {"image": batch}), strict=True))


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.UINT8], ids=["floats", "bytes"])
def test_only_the_body_is_converted(dtype: int) -> None:
    model, head = network(dtype)
    half = to_half_precision(model, head)
    kinds = types(half)
    assert kinds["image"] == dtype
    for node in half.graph.node:
        made = {kinds[name] for name in node.output}
        if node.name in head:
            assert made == {TensorProto.FLOAT}
        elif node.name in {node.name for node in model.graph.node}:
            assert made == {TensorProto.FLOAT16}
    assert [(one.name, one.type) for one in half.graph.output] == [(one.name, one.type) for one in model.graph.output]


def test_casts_are_only_where_precision_changes() -> None:
    model, head = network()
    assert operators(to_half_precision(model, head)) == ["Cast", *operators(model)[:6], "Cast", *operators(model)[6:]]


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.UINT8], ids=["floats", "bytes"])
def test_half_precision_outputs_are_close(dtype: int) -> None:
    model, head = network(dtype)
    batch = images(3, dtype)
    expected, found = run_onnx(model, batch), run_onnx(to_half_precision(model, head), batch)
    computed = run_in_float16(to_half_precision(model, head), batch)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=5e-3 * np.abs(value).max())
        np.testing.assert_allclose(computed[name], value, atol=5e-3 * np.abs(value).max())


def test_wide_head_does_not_overflow() -> None:
    model, head = wide_head(1.0)
    expected = run_onnx(model, images(1))
    assert expected["cam"].max() > LARGEST_HALF
    computed = run_in_float16(to_half_precision(model, head), images(1))
    np.testing.assert_allclose(computed["cam"], expected["cam"], rtol=1e-3)
    np.testing.assert_allclose(computed["logits"], expected["logits"], rtol=1e-3)
    assert not np.isfinite(run_in_float16(to_half_precision(model, ()), images(1))["cam"]).any()


def test_wide_head_keeps_small_terms() -> None:
    model, head = wide_head(0.01)
    expected = run_onnx(model, images(1))["cam"]
    computed = run_in_float16(to_half_precision(model, head), images(1))["cam"]
    np.testing.assert_allclose(computed, expected, rtol=1e-5)
    in_half = run_in_float16(to_half_precision(model, ()), images(1))["cam"]
    assert np.abs(in_half / expected - 1).max() > 1e-4


def test_weight_beyond_float16_is_refused() -> None:
    model, head = network(scale=20_000)
    with pytest.raises(
        ConversionError, match=r"weight 'constant\d+' has the magnitude 120000; the float16 maximum is 65504"
    ):
        to_half_precision(model, head)


def test_large_weight_in_the_head_is_kept() -> None:
    model, head = wide_head(1e6)
    assert np.isfinite(run_in_float16(to_half_precision(model, head), images(1))["logits"]).all()


def test_shared_weight_is_kept_in_both_precisions() -> None:
    graph = Graph()
    shift = graph.constant(np.full((1, 3, 1, 1), 0.1, np.float32))
    body = graph.add("Add", graph.features, shift)
    model, head = graph.classifier(graph.add("Add", body, shift, name="late"))
    half = to_half_precision(model, ["late", *head])
    kinds = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    assert kinds[shift] == TensorProto.FLOAT
    assert kinds[f"{shift}/half"] == TensorProto.FLOAT16
    np.testing.assert_allclose(run_onnx(half, images(2))["cam"], run_onnx(model, images(2))["cam"], atol=2e-3)


def test_outputs_of_the_graph_are_float32() -> None:
    graph = Graph()
    features = graph.add("Relu", graph.convolve(graph.features, 4))
    graph.add("Neg", features, name="negative")
    model = graph.model((features, "negative"))
    half = to_half_precision(model, ())
    assert {types(half)[name] for name in (features, "negative")} == {TensorProto.FLOAT}
    expected, found = run_onnx(model, images(2)), run_onnx(half, images(2))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=5e-3)


def test_input_that_must_be_float32_is_kept() -> None:
    graph = Graph()
    scales = graph.constant(np.array([1, 1, 2, 2], np.float32))
    resized = graph.add("Resize", graph.features, "", scales, mode="nearest")
    half = to_half_precision(*graph.classifier(resized))
    assert {tensor.name: tensor.data_type for tensor in half.graph.initializer}[scales] == TensorProto.FLOAT
    assert types(half)[f"{resized}/half"] == TensorProto.FLOAT16


def test_operator_without_float16_is_kept() -> None:
    graph = Graph()
    ends = [graph.constant(np.float32(value)) for value in (0, 8, 1)]
    ramp = graph.add("Range", *ends)
    half = to_half_precision(*graph.classifier(graph.add("Add", graph.features, ramp)))
    assert types(half)[ramp] == TensorProto.FLOAT
    assert np.isfinite(run_onnx(half, images(1))["logits"]).all()


def test_conversion_is_deterministic_and_keeps_the_original() -> None:
    model, head = network()
    before = model.SerializeToString(deterministic=True)
    once, again = (to_half_precision(model, head).SerializeToString(deterministic=True) for _ in range(2))
    assert once == again
    assert model.SerializeToString(deterministic=True) == before


def test_weights_take_half_the_bytes() -> None:
    model, head = wide_head(1.0)
    sizes = [
        sum(
            numpy_helper.to_array(tensor).nbytes
            for tensor in graph.graph.initializer
            if tensor.name.startswith("constant0")
        )
        for graph in (model, to_half_precision(model, head))
    ]
    assert sizes[1] * 2 == sizes[0]


def test_unknown_node_name_is_refused() -> None:
    model, _ = network()
    with pytest.raises(ConversionError, match="the ONNX graph has no node named pooling"):
        to_half_precision(model, ["pooling"])


def test_overflowing_activation_is_detected() -> None:
    graph = Graph()
    weights = graph.constant(np.full((4, 3, 1, 1), 60_000, np.float32))
    graph.channels = 4
    large = graph.add("Conv", graph.features, weights)
    model, head = graph.classifier(graph.add("Mul", large, graph.constant(np.float32(1e-5))))
    batch = images(5)
    assert largest_activation(model, head, batch) == pytest.approx(60_000 * batch.sum(axis=3).max(), rel=1e-5)
    assert largest_activation(model, head, batch) > LARGEST_HALF
    assert not np.isfinite(run_in_float16(to_half_precision(model, head), batch)["logits"]).all()


def test_activations_of_the_head_are_ignored() -> None:
    model, head = wide_head(1e6)
    assert largest_activation(model, head, images(2)) == pytest.approx(41)
    assert largest_activation(model, (), images(2)) > LARGEST_HALF


def test_infinite_activation_error_names_the_tensor() -> None:
    graph = Graph()
    weights = graph.constant(np.full((4, 3, 1, 1), 3e38, np.float32))
    graph.channels = 4
    model, head = graph.classifier(graph.add("Conv", graph.features, weights, name="burst"))
    with pytest.raises(ConversionError, match="tensor 'burst' has NaN or infinite values"):
        largest_activation(model, head, images(2))
