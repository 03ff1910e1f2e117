"""Int8 quantization: which nodes are quantized, how, and that the outputs stay close."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper
from support.graphs import Graph, images, operators, run_onnx

from camserve.choices import Int8Target
from camserve.errors import ConversionError
from camserve.export.formats.quantize import quantize

EIGHT_BIT = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "NhwcMaxPool", "MaxPool", "Transpose", "QGemm"}
)  # and all that begin with QLinear


def plain(graph: Graph) -> str:
    return graph.add("Relu", graph.convolve(graph.add("Relu", graph.convolve(graph.features, 8)), 8))


def grouped(graph: Graph) -> str:
    x = graph.add("Relu", graph.convolve(graph.features, 8))
    x = graph.add("Relu", graph.convolve(x, 8, group=2))
    return graph.convolve(graph.add("Relu", graph.convolve(x, 8, group=8)), 12, 1)


def relu6(graph: Graph) -> str:
    ends = graph.constant(np.float32(0)), graph.constant(np.float32(1.5))
    x = graph.add("Clip", graph.convolve(graph.features, 8), *ends)
    return graph.add("Clip", graph.convolve(x, 8), *ends)


def relu_twice(graph: Graph) -> str:
    x = graph.add("Relu", graph.add("Relu", graph.convolve(graph.features, 8)))
    return graph.add("Relu", graph.convolve(x, 8))


def clipped_twice(graph: Graph) -> str:
    ends = graph.constant(np.float32(0)), graph.constant(np.float32(1.5))
    x = graph.add("Clip", graph.add("Relu", graph.convolve(graph.features, 8)), *ends)
    return graph.convolve(graph.add("Relu", graph.add("Clip", graph.convolve(x, 8), *ends)), 8)


def residual(graph: Graph) -> str:
    x = graph.add("MaxPool", graph.add("Relu", graph.convolve(graph.features, 8)), kernel_shape=[2, 2], strides=[2, 2])
    return graph.add("Relu", graph.add("Add", graph.convolve(graph.add("Relu", graph.convolve(x, 8)), 8), x))


def projected(graph: Graph) -> str:
    x = graph.add("Relu", graph.convolve(graph.features, 8))
    inner = graph.convolve(graph.add("Relu", graph.convolve(graph.add("Relu", graph.convolve(x, 4, 1)), 4)), 12, 1)
    return graph.add("Relu", graph.add("Add", inner, graph.convolve(x, 12, 1, before=8)))


def swish(graph: Graph) -> str:
    x = graph.convolve(graph.features, 8)
    return graph.convolve(graph.add("Mul", x, graph.add("Sigmoid", x)), 8)


def concatenated(graph: Graph) -> str:
    x = graph.add("Relu", graph.convolve(graph.features, 8))
    y = graph.add("Relu", graph.convolve(x, 4))
    return graph.convolve(graph.add("Concat", x, y, axis=1), 8, 1, before=12)


def squeeze_and_excite(graph: Graph) -> str:
    x = graph.add("Relu", graph.convolve(graph.features, 8))
    pooled = graph.add("Relu", graph.convolve(graph.add("GlobalAveragePool", x), 4, 1))
    gate = graph.add("Sigmoid", graph.convolve(pooled, 8, 1))
    return graph.convolve(graph.add("Mul", x, gate), 8)


def gelu_and_layer_norm(graph: Graph) -> str:
    x = graph.convolve(graph.features, 8)
    x = graph.add("Transpose", x, perm=[0, 2, 3, 1])
    x = graph.add(
        "LayerNormalization", x, graph.constant(np.ones(8, np.float32)), graph.constant(np.zeros(8, np.float32))
    )
    x = graph.add("MatMul", x, graph.constant(graph.weights(8, 16)))
    x = graph.add("Add", x, graph.constant(np.linspace(-0.1, 0.1, 16, dtype=np.float32)))
    erf = graph.add("Erf", graph.add("Mul", x, graph.constant(np.float32(0.5**0.5))))
    x = graph.add("Mul", x, graph.add("Add", erf, graph.constant(np.float32(1))))
    x = graph.add("Mul", x, graph.constant(np.float32(0.5)))
    graph.channels = 8
    return graph.add("Transpose", graph.add("MatMul", x, graph.constant(graph.weights(16, 8))), perm=[0, 3, 1, 2])


def kept_batch_norm(graph: Graph) -> str:
    x = graph.add("Mul", graph.convolve(graph.features, 8), graph.constant(np.full((1, 8, 1, 1), 0.5, np.float32)))
    x = graph.add("Relu", graph.add("Add", x, graph.constant(np.full((1, 8, 1, 1), 0.1, np.float32))))
    return graph.convolve(x, 8)


def no_convolution(graph: Graph) -> str:
    flat = graph.add("Flatten", graph.features)
    x = graph.add(
        "Relu",
        graph.add("Gemm", flat, graph.constant(graph.weights(192, 16)), graph.constant(np.zeros(16, np.float32))),
    )
    graph.channels = 4
    return graph.add("Reshape", x, graph.constant(np.array([0, 4, 2, 2])))


BODIES: list[Callable[[Graph], str]] = [
    plain,
    grouped,
    relu6,
    relu_twice,
    clipped_twice,
    residual,
    projected,
    swish,
    concatenated,
    squeeze_and_excite,
    gelu_and_layer_norm,
    kept_batch_norm,
    no_convolution,
]
FUSED = [plain, grouped, relu6, residual, projected, swish, concatenated, squeeze_and_excite]
TARGETS: tuple[Int8Target, ...] = ("cpu", "tensorrt")


def network(body: Callable[[Graph], str], dtype: int = TensorProto.FLOAT) -> tuple[onnx.ModelProto, list[str]]:
    graph = Graph(dtype)
    return graph.classifier(body(graph))


def distance(found: Any, expected: Any) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def constants(model: onnx.ModelProto) -> dict[str, Any]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def optimized(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Return the graph as optimized by ONNX Runtime on this machine."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns that the file is specific to this machine
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(folder / "optimized.onnx")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_int8_outputs_are_close(body: Callable[[Graph], str], target: Int8Target) -> None:
    model, head = network(body)
    expected = run_onnx(model, images(16, seed=2))
    found = run_onnx(quantize(model, images(64), head, target), images(16, seed=2))
    assert 0 < distance(found["logits"], expected["logits"]) < 0.05
    assert distance(found["cam"], expected["cam"]) < 0.1


@pytest.mark.parametrize("body", FUSED, ids=lambda body: body.__name__)
def test_onnx_runtime_runs_the_body_in_8_bits(body: Callable[[Graph], str], tmp_path: Path) -> None:
    model, head = network(body)
    made = operators(optimized(quantize(model, images(16), head, "cpu"), tmp_path))
    floats = {name for name in made if name not in EIGHT_BIT and not name.startswith("QLinear")}
    assert floats <= set(operators(model)[-len(head) :])
    assert made.count("QuantizeLinear") == 1


def test_arithmetic_before_the_head_stays_in_float32() -> None:
    graph = Graph()
    x = graph.convolve(graph.add("Relu", graph.convolve(graph.features, 8)), 8)
    model, head = graph.classifier(graph.add("Mul", x, graph.add("Sigmoid", x), name="features"))
    result = quantize(model, images(8), head, "cpu")
    readers = {node.op_type for node in result.graph.node if "features" in node.input}
    assert "QuantizeLinear" not in readers


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_head_inputs_and_outputs_stay_in_float32(body: Callable[[Graph], str], target: Int8Target) -> None:
    model, head = network(body)
    result = quantize(model, images(8), head, target)
    before, after = ({node.name: node for node in graph.graph.node} for graph in (model, result))
    for name in head:
        assert after[name].op_type == before[name].op_type
        assert [one for one in after[name].input if one in constants(model)] == [
            one for one in before[name].input if one in constants(model)
        ]
    assert list(result.graph.input) == list(model.graph.input)
    assert list(result.graph.output) == list(model.graph.output)
    assert list(result.opset_import) == list(model.opset_import)
    assert list(result.metadata_props) == []
    assert not [node for node in result.graph.node if not node.name]
    assert len({node.name for node in result.graph.node}) == len(result.graph.node)


def test_cpu_activations_are_uint8_and_weights_int8_per_channel() -> None:
    model, head = network(residual)
    values = constants(quantize(model, images(8), head, "cpu"))
    zeros = {name: value for name, value in values.items() if name.endswith("_zero_point") and value.dtype != np.int32}
    weights = {name for name, value in zeros.items() if value.ndim == 1}
    assert len(weights) == 3
    assert all(zeros[name].shape == (8,) and zeros[name].dtype == np.int8 and not zeros[name].any() for name in weights)
    assert {value.dtype.name for name, value in zeros.items() if name not in weights} == {"uint8"}


def test_tensorrt_activations_are_symmetric_and_biases_float32() -> None:
    model, head = network(residual)
    result = quantize(model, images(8), head, "tensorrt")
    zeros = [value for name, value in constants(result).items() if name.endswith("_zero_point")]
    assert zeros
    assert all(value.dtype == np.int8 and not value.any() for value in zeros)
    biases = [node.input[2] for node in result.graph.node if node.op_type == "Conv"]
    assert {constants(result)[name].dtype.name for name in biases} == {"float32"}


def test_tensorrt_quantizes_only_the_inputs_of_weighted_nodes() -> None:
    model, head = network(residual)
    result = quantize(model, images(8), head, "tensorrt")
    made = {name: node.op_type for node in result.graph.node for name in node.output}
    convolutions = [node for node in result.graph.node if node.op_type == "Conv"]
    assert {made[name] for node in convolutions for name in node.input[:2]} == {"DequantizeLinear"}
    assert operators(result).count("QuantizeLinear") == len({node.input[0] for node in convolutions})


@pytest.mark.parametrize("exchanged", [False, True])
def test_tensorrt_quantizes_the_shortcut_of_an_addition_only(exchanged: bool) -> None:
    model, head = network(projected)
    addition = next(node for node in model.graph.node if node.op_type == "Add")
    inner, shortcut = addition.input
    if exchanged:
        addition.input[:] = [shortcut, inner]
    result = quantize(model, images(8), head, "tensorrt")
    made = {name: node for node in result.graph.node for name in node.output}
    read = [made[name] for node in result.graph.node if node.name == addition.name for name in node.input]
    inner_maker, shortcut_maker = reversed(read) if exchanged else read
    assert (inner_maker.op_type, inner_maker.output[0]) == ("Conv", inner)
    assert shortcut_maker.op_type == "DequantizeLinear"
    assert made[made[shortcut_maker.input[0]].input[0]].output[0] == shortcut


def test_tensorrt_leaves_an_addition_of_a_float_layer() -> None:
    model, head = network(projected)
    last = [node.name for node in model.graph.node if node.op_type == "Conv"][-1]
    result = quantize(model, images(8), [*head, last], "tensorrt")
    made = {name: node.op_type for node in result.graph.node for name in node.output}
    addition = next(node for node in result.graph.node if node.op_type == "Add")
    assert [made[name] for name in addition.input] == ["Conv", "Conv"]


@pytest.mark.parametrize("target", TARGETS)
def test_uint8_input_is_supported(target: Int8Target) -> None:
    model, head = network(residual, TensorProto.UINT8)
    result = quantize(model, images(32, TensorProto.UINT8), head, target)
    expected = run_onnx(model, images(8, TensorProto.UINT8, 2))
    found = run_onnx(result, images(8, TensorProto.UINT8, 2))
    assert 0 < distance(found["logits"], expected["logits"]) < 0.05
    floats, head = network(residual)
    same = run_onnx(quantize(floats, images(32), head, target), images(8, seed=2))
    assert distance(found["logits"], same["logits"]) < 0.01


def test_zero_channels_and_zero_tensors_are_harmless() -> None:
    graph = Graph()
    dead = graph.weights(8, 3, 3, 3)
    dead[2] = 0
    graph.channels = 8
    x = graph.add("Conv", graph.features, graph.constant(dead), pads=[1, 1, 1, 1])
    silent = graph.add("Relu", graph.convolve(graph.add("Relu", graph.add("Mul", x, graph.constant(np.float32(0)))), 8))
    model, head = graph.classifier(graph.add("Add", x, silent))
    for target in TARGETS:
        found = run_onnx(quantize(model, images(16), head, target), images(4, seed=2))
        assert distance(found["logits"], run_onnx(model, images(4, seed=2))["logits"]) < 0.05


def test_quantization_changes_no_input_and_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    model, head = network(residual)
    before = model.SerializeToString(deterministic=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    quantize(model, images(8), head, "cpu")
    assert model.SerializeToString(deterministic=True) == before
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def digests() -> list[str]:
    model, head = network(residual)
    results = (quantize(model, images(8), head, target) for target in TARGETS)
    return [hashlib.sha256(result.SerializeToString(deterministic=True)).hexdigest() for result in results]


def test_bytes_are_equal_across_processes() -> None:
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "7"}
    program = [sys.executable, "-c", "import test_quantize; print(*test_quantize.digests())"]
    run = subprocess.run(program, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.split()[-2:] == digests()


def test_repeated_images_change_nothing() -> None:
    model, head = network(residual)
    once = quantize(model, images(6), head, "cpu")
    twice = quantize(model, np.concatenate([images(6), images(6)]), head, "cpu")
    assert once.SerializeToString(deterministic=True) == twice.SerializeToString(deterministic=True)


def test_old_opset_is_refused() -> None:
    graph = Graph()
    model, head = graph.classifier(plain(graph), opset=12)
    with pytest.raises(ConversionError, match="opset 12 does not support int8 weights"):
        quantize(model, images(8), head, "cpu")


@pytest.mark.parametrize("target", TARGETS)
def test_network_without_a_body_is_refused(target: Int8Target) -> None:
    graph = Graph()
    model, head = graph.classifier(graph.add("Relu", graph.features))
    with pytest.raises(ConversionError, match="no convolution or matrix product before the head"):
        quantize(model, images(8), head, target)
