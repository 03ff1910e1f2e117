"""An ONNX graph in int8, its head left in float32: static quantization with QuantizeLinear and DequantizeLinear.

Weights are symmetric int8, each output channel with a scale of its own. Activations have one scale a tensor, from the
least to the largest value on the calibration images: on trained networks that agrees with the float network as well as
percentiles of the values do, or better, and it needs no histogram.

For CPUs activations are unsigned, so that zero after a ReLU is the end of the range, and results are quantized too, so
that ONNX Runtime runs the whole body on integers. Its kernels multiply unsigned by signed bytes and add up pairs of
products: with VNNI (Intel since Cascade Lake, AMD since Zen 4) in 32 bits and exactly; with AVX2 or plain AVX-512 in
16 bits, where two products of nearly full range saturate. Weights of 7 bits would never saturate there, and would
cost every host a bit of precision; they are left at 8.

For TensorRT, which takes nothing else, activations are symmetric int8 with zero point 0 and biases stay float32. There
only the inputs of convolutions and matrix products are quantized, as NVIDIA advises: TensorRT by itself fuses into a
convolution what follows it (bias, shortcut, ReLU, the next quantization).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from camserve.export.frameworks import onnx

import numpy as np
import numpy.typing as npt
from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType
from onnxruntime.quantization.calibrate import TensorData, TensorsData

from camserve.choices import Int8Target
from camserve.errors import ConversionError
from camserve.export.formats.activations import activation_ranges, float_tensors

__all__ = ["quantize"]


_OLDEST_OPSET = 13  # the first whose QuantizeLinear takes a scale for each channel
_WEIGHTED = {
    "cpu": frozenset({"Conv", "Gemm", "MatMul"}),
    "tensorrt": frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"}),
}
# What ONNX Runtime has a kernel for that reads and gives bytes.
_ARITHMETIC = frozenset({"Add", "AveragePool", "Concat", "GlobalAveragePool", "LeakyRelu", "Mul", "Sigmoid"})
_CARRYING = frozenset({"Clip", "Flatten", "MaxPool", "Relu", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
_CLIPPING = frozenset({"Clip", "Relu"})
_INFERRED = ("onnx.infer", "onnxruntime.quant")  # tells the quantizer that the shapes are known

Nodes = list[onnx.NodeProto]


def quantize(
    model: onnx.ModelProto, images: npt.NDArray[Any], stay_float: Collection[str], target: Int8Target
) -> onnx.ModelProto:
    """The graph in int8, where it is not told to stay in float32. Inputs and outputs keep their types.

    Args:
        model: A float32 graph of opset 13 or newer, its nodes in topological order.
        images: Calibration images `[n, height, width, channels]` as the graph takes them, float32 or uint8; a few
            hundred of the kind that will be served.
        stay_float: Names of the nodes that stay in float32: the head.
        target: What will run it.

    Returns:
        A new graph; the same for the same arguments.

    Raises:
        ConversionError: If the opset is too old, nothing in the graph can be quantized, or ONNX Runtime cannot do it.
    """
    opset = max(entry.version for entry in model.opset_import if entry.domain == "")
    if opset < _OLDEST_OPSET:
        raise ConversionError(
            f"opset {opset} cannot hold int8 weights with a scale for each channel",
            hint=f"Choose --opset {_OLDEST_OPSET} or newer",
        )
    nodes = _nodes_to_quantize(model, stay_float, target)
    if not nodes:
        raise ConversionError(
            "there is no convolution and no matrix product before the head, so int8 would change nothing",
            hint="Export with --precision fp32",
        )
    ranges = _ranges(model, nodes, images)
    try:
        result = _with_quantizers(model, nodes, ranges, target)
        onnx.checker.check_model(result, full_check=True)
    except Exception as error:  # whatever ONNX Runtime's tools raise, the export ends with its reason
        raise ConversionError(
            f"ONNX Runtime cannot quantize the network: {error}", hint="Export with --precision fp32 or fp16"
        ) from error
    return result


def _nodes_to_quantize(model: onnx.ModelProto, stay_float: Collection[str], target: Int8Target) -> Nodes:
    """The nodes that work on bytes: those with weights, and for CPUs what lies between them."""
    weights = {tensor.name for tensor in model.graph.initializer}
    free = [node for node in model.graph.node if node.name not in stay_float]
    weighted = [
        node
        for node in free
        if node.op_type in _WEIGHTED[target] and node.input[1] in weights and node.input[0] not in weights
    ]
    return weighted if target == "tensorrt" else _with_what_lies_between(free, weighted, weights, float_tensors(model))


def _with_what_lies_between(free: Nodes, weighted: Nodes, weights: set[str], floats: set[str]) -> Nodes:
    """Adds each node whose every operand is quantized already; arithmetic only where its result will be quantized too.

    A constant operand would be cut to 8 bits with one scale for all channels, so arithmetic with one stays in float32.
    """
    with_weights = {node.name for node in weighted}
    chosen = with_weights | {
        node.name
        for node in free
        if node.op_type in _CARRYING or (node.op_type in _ARITHMETIC and weights.isdisjoint(node.input))
    }
    while True:
        made = {name for node in free if node.name in chosen for name in node.output}
        read = {name for node in free if node.name in chosen for name in node.input}
        left = {
            node.name
            for node in free
            if node.name in chosen - with_weights
            and (
                not (set(node.input) & floats) <= made or (node.op_type in _ARITHMETIC and read.isdisjoint(node.output))
            )
        }
        if not left:
            return [node for node in free if node.name in chosen]
        chosen -= left


def _ranges(model: onnx.ModelProto, nodes: Nodes, images: npt.NDArray[Any]) -> TensorsData:
    """Range of each tensor that the nodes read or give; before a ReLU or Clip, that of its result."""
    tensors = {name for node in nodes for name in (*node.input, *node.output)} & float_tensors(model)
    clipped = {
        node.input[0]: node.output[0]
        for node in nodes
        if node.op_type in _CLIPPING and node.input[0] in tensors and _readers(model.graph, node.input[0]) == 1
    }
    found = activation_ranges(model, tensors - set(clipped), images)
    for before, after in reversed(clipped.items()):  # one may stand right after another
        found[before] = found[after]
    data = {
        name: TensorData(lowest=np.float32(found[name][0]), highest=np.float32(found[name][1]))
        for name in sorted(found)
    }
    return TensorsData(CalibrationMethod.MinMax, data)


def _readers(graph: onnx.GraphProto, name: str) -> int:
    read = [used for node in graph.node for used in node.input] + [output.name for output in graph.output]
    return read.count(name)


def _with_quantizers(model: onnx.ModelProto, nodes: Nodes, ranges: TensorsData, target: Int8Target) -> onnx.ModelProto:
    """The graph with QuantizeLinear and DequantizeLinear around the nodes, and nothing else of it changed."""
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
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    result = onnx.ModelProto()
    result.CopyFrom(model)
    result.graph.CopyFrom(quantizer.model.model.graph)
    del result.graph.value_info[:]
    return result
