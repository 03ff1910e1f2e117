"""The ranges of activations in int8: values that the next operator makes equal get no part of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from support.graphs import Graph, images, run_onnx

from camserve.export.formats.activations import ActivationRanges
from camserve.export.formats.quantize import quantize
from camserve.export.formats.quantized_ranges import quantized_ranges


def wide(graph: Graph) -> str:
    """Return a convolution with results far below -8 and far above 8, named `before`."""
    kernel = graph.constant(30 * graph.weights(8, 3, 3, 3))
    graph.channels = 8
    return graph.add("Conv", graph.features, kernel, pads=[1, 1, 1, 1], name="before")


def swish(graph: Graph) -> str:
    x = wide(graph)
    return graph.convolve(graph.add("Mul", graph.add("Sigmoid", x), x), 8)


def gated(graph: Graph) -> str:
    return graph.convolve(graph.add("Sigmoid", wide(graph)), 8)


def swish_and_shortcut(graph: Graph) -> str:
    x = wide(graph)
    return graph.convolve(graph.add("Add", graph.add("Mul", x, graph.add("Sigmoid", x)), x), 8)


def sigmoid_times_another(graph: Graph) -> str:
    x = wide(graph)
    other = graph.add("Sigmoid", graph.convolve(x, 8))
    return graph.convolve(graph.add("Mul", x, other), 8)


def ranges(body: Callable[[Graph], str]) -> tuple[dict[str, tuple[float, float]], tuple[float, float]]:
    """Return the range of each quantized tensor, and what `before` reaches."""
    graph = Graph()
    model, head = graph.classifier(body(graph))
    return measured(model, head)


def measured(model: onnx.ModelProto, head: list[str]) -> tuple[dict[str, tuple[float, float]], tuple[float, float]]:
    found = ActivationRanges(model, images(16))
    nodes = [node for node in model.graph.node if node.name not in head]
    data = quantized_ranges(model, nodes, found)
    reached = found.of(["before"])["before"]
    assert reached[0] < -20
    assert reached[1] > 20
    return {name: (float(data[name].lowest), float(data[name].highest)) for name in data.keys()}, reached  # noqa: SIM118


def test_before_a_swish_the_range_begins_where_swish_becomes_0() -> None:
    found, reached = ranges(swish)
    assert found["before"] == pytest.approx((-8, reached[1]))


def test_before_a_sigmoid_the_range_ends_where_it_becomes_0_or_1() -> None:
    assert ranges(gated)[0]["before"] == (-8, 8)


@pytest.mark.parametrize("body", [swish_and_shortcut, sigmoid_times_another])
def test_the_range_of_what_another_operator_reads_is_what_it_reaches(body: Callable[[Graph], str]) -> None:
    found, reached = ranges(body)
    assert found["before"] == pytest.approx(reached)


def test_the_range_of_an_output_of_the_graph_is_what_it_reaches() -> None:
    graph = Graph()
    model, head = graph.classifier(swish(graph))
    model.graph.output.append(onnx.helper.make_tensor_value_info("before", onnx.TensorProto.FLOAT, None))
    found, reached = measured(model, head)
    assert found["before"] == pytest.approx(reached)


def test_a_range_within_the_ends_is_kept() -> None:
    graph = Graph()
    x = graph.convolve(graph.features, 8)
    model, head = graph.classifier(graph.convolve(graph.add("Sigmoid", x), 8))
    found = ActivationRanges(model, images(16))
    data = quantized_ranges(model, [node for node in model.graph.node if node.name not in head], found)
    lowest, highest = found.of([x])[x]
    assert -8 < lowest < highest < 8
    assert (data[x].lowest, data[x].highest) == pytest.approx((lowest, highest))


def test_maps_are_closer_than_with_the_whole_range(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph()
    model, head = graph.classifier(gated(graph))
    expected = run_onnx(model, images(16, seed=2))["cam"]
    errors = []
    for saturation in (8.0, np.inf):
        monkeypatch.setattr("camserve.export.formats.quantized_ranges._SATURATION", saturation)
        found = run_onnx(quantize(model, images(64), head, "cpu"), images(16, seed=2))["cam"]
        errors.append(float(np.sqrt(np.mean((found - expected) ** 2))))
    assert errors[0] < 0.8 * errors[1]
