"""Static int8 quantization of an ONNX graph with QuantizeLinear and DequantizeLinear, with its head in float32.

Weights are symmetric int8 with one scale per output channel. Activations have one scale per tensor, from the minimum to
the maximum on the calibration images, except for the most extreme of a hundred images (`activations`); this requires no
histogram. Before a ReLU, Clip or sigmoid only the part that matters counts (`quantized_ranges`).

For CPUs, activations are uint8, so that the zero after a ReLU is the end of the range, and results are quantized too,
so that ONNX Runtime runs the whole body in integers. Its kernels multiply uint8 by int8 and add pairs of products: with
VNNI (Intel since Cascade Lake, AMD since Zen 4) exactly, in 32 bits; with AVX2 or AVX-512 without VNNI in 16 bits,
where two products near the maximum saturate. Weights of 7 bits would not saturate there, but would cost every host one
bit of precision, so they have 8.

For TensorRT, which supports nothing else, activations are symmetric int8 with zero point 0 and biases are float32. What
is quantized follows NVIDIA's documentation (TensorRT, "Q/DQ Layer-Placement Recommendations"): the inputs of
convolutions and matrix products, but not their results, because TensorRT fuses what follows a convolution (bias,
addition, ReLU, the next quantization) by itself; and the shortcut of a residual addition, whose precision becomes that
of the fused convolution's result. Most shortcuts are quantized anyway for the convolution that reads them too.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from camserve.export.frameworks import onnx

import numpy.typing as npt
from onnxruntime.quantization import QDQQuantizer, QuantType
from onnxruntime.quantization.calibrate import TensorsData

from camserve.choices import Int8Target
from camserve.errors import ConversionError
from camserve.export.formats.activations import ActivationRanges
from camserve.export.formats.quantized_ranges import quantized_ranges
from camserve.export.formats.shortcuts import projected_shortcuts
from camserve.export.framework_errors import reason

__all__ = ["quantize", "quantized_nodes", "weighted_nodes"]


_OLDEST_OPSET = 13  # the first whose QuantizeLinear supports one scale per channel
_WEIGHTED = {
    "cpu": frozenset({"Conv", "Gemm", "MatMul"}),
    "tensorrt": frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"}),
}
# Operators for which ONNX Runtime has an 8-bit kernel.
_ARITHMETIC = frozenset({"Add", "AveragePool", "Concat", "GlobalAveragePool", "LeakyRelu", "Mul", "Sigmoid"})
_VALUE_PRESERVING = frozenset({"Clip", "Flatten", "MaxPool", "Relu", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
_INFERRED = ("onnx.infer", "onnxruntime.quant")  # marks the shapes as inferred for the quantizer

Nodes = list[onnx.NodeProto]


def quantize(
    model: onnx.ModelProto,
    images: npt.NDArray[Any],
    stay_float: Collection[str],
    target: Int8Target,
    ranges: ActivationRanges | None = None,
) -> onnx.ModelProto:
    """Quantize a graph to int8, except for nodes that stay in float32. Inputs and outputs keep their types.

    Args:
        model: A float32 graph of opset 13 or newer, its nodes in topological order.
        images: Calibration images `[n, height, width, channels]`, float32 or uint8 as the graph's input; a few hundred
            images like those that will be served.
        stay_float: Names of the nodes that stay in float32: the head, and layers that 8 bits are too few for.
        target: The hardware: `cpu` or `tensorrt`.
        ranges: The ranges of this graph on these images, of a caller that quantizes it repeatedly (default: they are
            measured).

    Returns:
        A new graph, deterministic for the same arguments.

    Raises:
        ConversionError: If the opset is too old, nothing in the graph can be quantized, or ONNX Runtime fails.
    """
    opset = max(entry.version for entry in model.opset_import if entry.domain == "")
    if opset < _OLDEST_OPSET:
        raise ConversionError(
            f"opset {opset} does not support int8 weights with one scale per channel",
            hint=f"Use opset {_OLDEST_OPSET} or newer: --opset {_OLDEST_OPSET}",
        )
    ranges = ActivationRanges(model, images) if ranges is None else ranges
    nodes = quantized_nodes(model, stay_float, target, ranges.tensors)
    if not nodes:
        raise ConversionError(
            "the network has no convolution or matrix product before the head, so int8 has no effect",
            hint="Export with --precision fp32",
        )
    tensors_range = quantized_ranges(model, nodes, ranges)
    try:
        result = _with_quantizers(model, nodes, tensors_range, target)
        onnx.checker.check_model(result, full_check=True)
    except Exception as error:  # ONNX Runtime's tools may raise anything
        raise ConversionError(
            f"ONNX Runtime cannot quantize the network: {reason(error)}", hint="Export with --precision fp32 or fp16"
        ) from error
    return result


def weighted_nodes(model: onnx.ModelProto, stay_float: Collection[str], target: Int8Target) -> Nodes:
    """Return the nodes that can multiply 8-bit weights, in the order of the graph.

    Args:
        model: A float32 graph.
        stay_float: Names of the nodes that stay in float32.
        target: The hardware: `cpu` or `tensorrt`.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    return [
        node
        for node in model.graph.node
        if node.name not in stay_float
        and node.op_type in _WEIGHTED[target]
        and node.input[1] in weights
        and node.input[0] not in weights
    ]


def quantized_nodes(
    model: onnx.ModelProto, stay_float: Collection[str], target: Int8Target, floats: Collection[str]
) -> Nodes:
    """Return the nodes that compute in 8 bits: those with weights, and for CPUs also the nodes between them.

    Args:
        model: A float32 graph.
        stay_float: Names of the nodes that stay in float32.
        target: The hardware: `cpu` or `tensorrt`.
        floats: The names of the activations in float32.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    free = [node for node in model.graph.node if node.name not in stay_float]
    weighted = weighted_nodes(model, stay_float, target)
    return weighted if target == "tensorrt" else _with_nodes_between(free, weighted, weights, floats)


def _with_nodes_between(free: Nodes, weighted: Nodes, weights: set[str], floats: Collection[str]) -> Nodes:
    """Add each node whose inputs are all quantized, and arithmetic only if its result is quantized too.

    Arithmetic with a constant stays in float32, because the constant would get 8 bits with one scale for all channels.
    """
    with_weights = {node.name for node in weighted}
    chosen = with_weights | {
        node.name
        for node in free
        if node.op_type in _VALUE_PRESERVING or (node.op_type in _ARITHMETIC and weights.isdisjoint(node.input))
    }
    while True:
        made = {name for node in free if node.name in chosen for name in node.output}
        read = {name for node in free if node.name in chosen for name in node.input}
        unsuitable = {
            node.name
            for node in free
            if node.name in chosen - with_weights
            and (
                not set(node.input).intersection(floats) <= made
                or (node.op_type in _ARITHMETIC and read.isdisjoint(node.output))
            )
        }
        if not unsuitable:
            return [node for node in free if node.name in chosen]
        chosen -= unsuitable


def _with_quantizers(model: onnx.ModelProto, nodes: Nodes, ranges: TensorsData, target: Int8Target) -> onnx.ModelProto:
    """Add QuantizeLinear and DequantizeLinear around the nodes, and change nothing else."""
    inferred = onnx.shape_inference.infer_shapes(model)
    inferred.metadata_props.add(key=_INFERRED[0], value=_INFERRED[1])
    symmetric = target == "tensorrt"
    operators = {node.op_type for node in nodes}
    quantizer = QDQQuantizer(
        inferred,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8 if symmetric else QuantType.QUInt8,
        tensors_range=ranges,
        nodes_to_quantize=[node.name for node in nodes],
        nodes_to_exclude=[],
        op_types_to_quantize=sorted(operators),
        extra_options={
            "WeightSymmetric": True,
            "ActivationSymmetric": symmetric,
            "QuantizeBias": not symmetric,
            "OpTypesToExcludeOutputQuantization": sorted(operators) if symmetric else [],
        },
    )
    if target == "tensorrt":
        for name in projected_shortcuts(model.graph, {node.name for node in nodes}):
            quantizer.quantize_activation_tensor(name)
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    result = onnx.ModelProto()
    result.CopyFrom(model)
    result.graph.CopyFrom(quantizer.model.model.graph)
    del result.graph.value_info[:]
    return result
