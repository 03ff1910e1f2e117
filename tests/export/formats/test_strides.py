"""Strides of 1x1 convolutions: moved up to where pixels are computed for nobody, without changing a value."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper
from onnxruntime.quantization.onnx_model import ONNXModel
from support.graphs import Graph, images, operators, run_onnx

from camserve.export.formats.quantize import quantize
from camserve.export.formats.strides import move_strides_up


def begin_stage(graph: Graph, source: str) -> str:
    """Add the begin of a stage of ResNet: two strided 1x1 convolutions of the same tensor."""
    channels = graph.channels
    inner = graph.add("Relu", graph.convolve(source, 4, 1, strides=[2, 2]))
    inner = graph.convolve(inner, 12)
    shortcut = graph.convolve(source, 12, 1, before=channels, strides=[2, 2])
    return graph.add("Relu", graph.add("Add", inner, shortcut))


def after_a_block(graph: Graph) -> str:
    x = graph.add("Relu", graph.convolve(graph.features, 8))
    inner = graph.add("Relu", graph.convolve(graph.add("Relu", graph.convolve(x, 4, 1)), 4))
    return begin_stage(graph, graph.add("Relu", graph.add("Add", graph.convolve(inner, 8, 1), x)))


def after_a_pool(graph: Graph) -> str:
    x = graph.add("MaxPool", graph.convolve(graph.features, 8), kernel_shape=[2, 2], strides=[1, 1])
    return begin_stage(graph, x)


def after_one_channel_for_all(graph: Graph) -> str:
    x = graph.convolve(graph.features, 8)
    gate = graph.add("Sigmoid", graph.convolve(graph.add("GlobalAveragePool", x), 8, 1))
    return begin_stage(graph, graph.add("Mul", x, gate))


def after_a_square(graph: Graph) -> str:
    x = graph.convolve(graph.features, 8)
    graph.add("MaxPool", x, kernel_shape=[1, 1], name="other")
    return begin_stage(graph, graph.add("Mul", x, x))


def after_a_strided_convolution(graph: Graph) -> str:
    return begin_stage(graph, graph.add("Relu", graph.convolve(graph.features, 8, strides=[2, 1])))


def after_an_addition_whose_operands_are_read_whole(graph: Graph) -> str:
    x, y = graph.convolve(graph.features, 8), graph.convolve(graph.features, 8, before=3)
    total = graph.add("GlobalAveragePool", graph.add("Mul", x, y))
    stage = begin_stage(graph, graph.add("Add", x, y))
    return graph.add("Add", stage, graph.convolve(total, 12, 1, before=8))


BODIES = [
    after_a_block,
    after_a_pool,
    after_one_channel_for_all,
    after_a_square,
    after_a_strided_convolution,
    after_an_addition_whose_operands_are_read_whole,
]


def changed(model: onnx.ModelProto) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(model)
    move_strides_up(result.graph, 17)
    return result


def moved(model: onnx.ModelProto) -> onnx.ModelProto:
    result = changed(model)
    ONNXModel(result).topological_sort()
    onnx.checker.check_model(result, full_check=True)
    return result


def strides(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Return the strides of every convolution that has some."""
    found = {node.name: {entry.name: entry for entry in node.attribute} for node in model.graph.node}
    return {
        name: helper.get_attribute_value(entries["strides"]) for name, entries in found.items() if "strides" in entries
    }


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_values_do_not_change(body: Callable[[Graph], str]) -> None:
    graph = Graph()
    model, _ = graph.classifier(body(graph))
    result = moved(model)
    expected, found = run_onnx(model, images(3)), run_onnx(result, images(3))
    assert changed(model) != model
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-6)


def test_the_block_before_computes_only_the_pixels_that_are_read() -> None:
    graph = Graph()
    model, _ = graph.classifier(after_a_block(graph))
    before, after = strides(model), strides(moved(model))
    strided = [name for name, value in before.items() if value == [2, 2]]
    assert len(strided) == 2
    assert {tuple(after[name]) for name in strided} == {(1, 1)}
    larger = [node.name for node in model.graph.node if node.op_type == "Conv"][2]
    assert after[larger] == [2, 2]
    made = operators(moved(model))
    assert made.count("MaxPool") == 1  # the shortcut, which the block reads whole


def test_strides_multiply_those_of_the_convolution_before() -> None:
    graph = Graph()
    model, _ = graph.classifier(after_a_strided_convolution(graph))
    first = next(node.name for node in model.graph.node if node.op_type == "Conv")
    assert strides(moved(model))[first] == [4, 2]


def other_reader(graph: Graph) -> str:
    x = graph.convolve(graph.features, 8)
    y = graph.convolve(x, 8, 1, strides=[2, 2])
    return graph.add("Add", y, graph.convolve(x, 8, strides=[2, 2]))


def unequal(graph: Graph) -> str:
    x = graph.convolve(graph.features, 8)
    y = graph.add("GlobalAveragePool", graph.convolve(x, 8, 1, strides=[2, 2]))
    return graph.add("Add", y, graph.add("GlobalAveragePool", graph.convolve(x, 8, 1, strides=[2, 1])))


def padded(graph: Graph) -> str:
    x = graph.convolve(graph.features, 8)
    kernel = graph.constant(graph.weights(8, 8, 1, 1))
    return graph.add("Conv", x, kernel, strides=[2, 2], pads=[1, 1, 1, 1])


@pytest.mark.parametrize("body", [other_reader, unequal, padded], ids=lambda body: body.__name__)
def test_tensors_whose_skipped_pixels_are_read_are_left(body: Callable[[Graph], str]) -> None:
    graph = Graph()
    model, _ = graph.classifier(body(graph))
    assert changed(model) == model


def test_outputs_keep_all_pixels() -> None:
    graph = Graph()
    x = graph.convolve(graph.features, 8)
    y = graph.convolve(x, 8, 1, strides=[2, 2])
    model = graph.model((x, y))
    assert changed(model) == model


def test_no_strided_pointwise_convolution_reads_8_bits() -> None:
    """OpenVINO moves such strides into the DequantizeLinear before, and then runs the convolution in floating point."""
    graph = Graph()
    model, head = graph.classifier(after_a_block(graph))
    result = quantize(moved(model), images(8), head, "cpu")
    assert {tuple(value) for value in strides(result).values()} == {(1, 1), (2, 2)}
    shapes = {tensor.name: list(tensor.dims) for tensor in result.graph.initializer}
    makers = {name: node for node in result.graph.node for name in node.output}
    pointwise = [
        node
        for node in result.graph.node
        if node.op_type == "Conv" and shapes[makers[node.input[1]].input[0]][2:] == [1, 1]
    ]
    assert len(pointwise) == 4
    assert all(strides(result).get(node.name, [1, 1]) == [1, 1] for node in pointwise)
