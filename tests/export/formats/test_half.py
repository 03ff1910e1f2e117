"""Half precision: what becomes half, what stays, and what overflows."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from support.graphs import Graph, answers, images, operators

from camserve.errors import ConversionError
from camserve.export.formats.half import LARGEST_HALF, largest_activation, to_half_precision


def network(dtype: int = TensorProto.FLOAT, *, scale: float = 1.0) -> tuple[onnx.ModelProto, list[str]]:
    graph = Graph(dtype)
    x = graph.add("Relu", graph.convolve(graph.features, 8))
    y = graph.add("Clip", graph.convolve(x, 8, group=8), "", graph.constant(np.float32(6 * scale)))
    return graph.classifier(graph.add("Add", x, y))


def wide_head(weight: float) -> tuple[onnx.ModelProto, list[str]]:
    """Features of 2,048 channels, all about 40, and a linear layer whose weights are all alike."""
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


def in_true_half(model: onnx.ModelProto, batch: Any) -> dict[str, Any]:
    """What the graph says where half is computed in half."""
    names = [output.name for output in model.graph.output]
    with np.errstate(over="ignore", invalid="ignore"):
        return dict(zip(names, ReferenceEvaluator(model).run(None, {"image": batch}), strict=True))


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.UINT8], ids=["floats", "bytes"])
def test_the_body_becomes_half_and_the_head_and_the_ends_do_not(dtype: int) -> None:
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


def test_a_cast_stands_where_the_precision_changes_and_nowhere_else() -> None:
    model, head = network()
    assert operators(to_half_precision(model, head)) == ["Cast", *operators(model)[:6], "Cast", *operators(model)[6:]]


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.UINT8], ids=["floats", "bytes"])
def test_half_precision_answers_almost_the_same(dtype: int) -> None:
    model, head = network(dtype)
    batch = images(3, dtype)
    expected, found = answers(model, batch), answers(to_half_precision(model, head), batch)
    computed = in_true_half(to_half_precision(model, head), batch)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=5e-3 * np.abs(value).max())
        np.testing.assert_allclose(computed[name], value, atol=5e-3 * np.abs(value).max())


def test_a_head_of_2048_channels_does_not_overflow() -> None:
    model, head = wide_head(1.0)
    expected = answers(model, images(1))
    assert expected["cam"].max() > LARGEST_HALF
    computed = in_true_half(to_half_precision(model, head), images(1))
    np.testing.assert_allclose(computed["cam"], expected["cam"], rtol=1e-3)
    np.testing.assert_allclose(computed["logits"], expected["logits"], rtol=1e-3)
    assert not np.isfinite(in_true_half(to_half_precision(model, ()), images(1))["cam"]).any()


def test_a_head_of_2048_channels_loses_no_small_terms() -> None:
    model, head = wide_head(0.01)
    expected = answers(model, images(1))["cam"]
    computed = in_true_half(to_half_precision(model, head), images(1))["cam"]
    np.testing.assert_allclose(computed, expected, rtol=1e-5)
    in_half = in_true_half(to_half_precision(model, ()), images(1))["cam"]
    assert np.abs(in_half / expected - 1).max() > 1e-4


def test_a_weight_that_half_cannot_hold_is_refused_by_name() -> None:
    model, head = network(scale=20_000)
    with pytest.raises(ConversionError, match=r"weight 'constant\d+' holds 120000; half precision ends at 65504"):
        to_half_precision(model, head)


def test_a_large_weight_of_the_head_is_left_alone() -> None:
    model, head = wide_head(1e6)
    assert np.isfinite(in_true_half(to_half_precision(model, head), images(1))["logits"]).all()


def test_a_weight_that_is_read_in_both_precisions_is_kept_in_both() -> None:
    graph = Graph()
    shift = graph.constant(np.full((1, 3, 1, 1), 0.1, np.float32))
    body = graph.add("Add", graph.features, shift)
    model, head = graph.classifier(graph.add("Add", body, shift, name="late"))
    half = to_half_precision(model, ["late", *head])
    kinds = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    assert kinds[shift] == TensorProto.FLOAT
    assert kinds[f"{shift}/half"] == TensorProto.FLOAT16
    np.testing.assert_allclose(answers(half, images(2))["cam"], answers(model, images(2))["cam"], atol=2e-3)


def test_an_output_made_in_half_leaves_the_graph_in_float() -> None:
    graph = Graph()
    features = graph.add("Relu", graph.convolve(graph.features, 4))
    graph.add("Neg", features, name="negative")
    model = graph.model((features, "negative"))
    half = to_half_precision(model, ())
    assert {types(half)[name] for name in (features, "negative")} == {TensorProto.FLOAT}
    expected, found = answers(model, images(2)), answers(half, images(2))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=5e-3)


def test_an_input_that_must_be_float_stays_so() -> None:
    graph = Graph()
    scales = graph.constant(np.array([1, 1, 2, 2], np.float32))
    resized = graph.add("Resize", graph.features, "", scales, mode="nearest")
    half = to_half_precision(*graph.classifier(resized))
    assert {tensor.name: tensor.data_type for tensor in half.graph.initializer}[scales] == TensorProto.FLOAT
    assert types(half)[f"{resized}/half"] == TensorProto.FLOAT16


def test_an_operator_that_knows_no_half_stays_in_float() -> None:
    graph = Graph()
    ends = [graph.constant(np.float32(value)) for value in (0, 8, 1)]
    ramp = graph.add("Range", *ends)
    half = to_half_precision(*graph.classifier(graph.add("Add", graph.features, ramp)))
    assert types(half)[ramp] == TensorProto.FLOAT
    assert np.isfinite(answers(half, images(1))["logits"]).all()


def test_putting_a_graph_into_half_leaves_it_as_it_was_and_gives_the_same_bytes_again() -> None:
    model, head = network()
    before = model.SerializeToString(deterministic=True)
    once, again = (to_half_precision(model, head).SerializeToString(deterministic=True) for _ in range(2))
    assert once == again
    assert model.SerializeToString(deterministic=True) == before


def test_the_weights_take_half_the_room() -> None:
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


def test_a_name_that_no_node_has_is_refused() -> None:
    model, _ = network()
    with pytest.raises(ConversionError, match="no node of the ONNX graph is named pooling"):
        to_half_precision(model, ["pooling"])


def test_an_activation_that_overflows_is_seen_where_onnx_runtime_computes_in_float() -> None:
    graph = Graph()
    weights = graph.constant(np.full((4, 3, 1, 1), 60_000, np.float32))
    graph.channels = 4
    large = graph.add("Conv", graph.features, weights)
    model, head = graph.classifier(graph.add("Mul", large, graph.constant(np.float32(1e-5))))
    batch = images(5)
    assert largest_activation(model, head, batch) == pytest.approx(60_000 * batch.sum(axis=3).max(), rel=1e-5)
    assert largest_activation(model, head, batch) > LARGEST_HALF
    assert not np.isfinite(in_true_half(to_half_precision(model, head), batch)["logits"]).all()


def test_activations_of_the_head_do_not_count() -> None:
    model, head = wide_head(1e6)
    assert largest_activation(model, head, images(2)) == pytest.approx(41)
    assert largest_activation(model, (), images(2)) > LARGEST_HALF


def test_a_network_that_is_not_finite_is_refused_by_tensor() -> None:
    graph = Graph()
    weights = graph.constant(np.full((4, 3, 1, 1), 3e38, np.float32))
    graph.channels = 4
    model, head = graph.classifier(graph.add("Conv", graph.features, weights, name="burst"))
    with pytest.raises(ConversionError, match="tensor 'burst' takes values that are not finite"):
        largest_activation(model, head, images(2))
