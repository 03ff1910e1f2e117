"""The range of each activation of an int8 graph: what it reaches on the calibration images, where that matters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from camserve.export.frameworks import onnx

import numpy as np
from onnxruntime.quantization import CalibrationMethod
from onnxruntime.quantization.calibrate import TensorData, TensorsData

from camserve.export.formats.activations import ActivationRanges

__all__ = ["quantized_ranges"]

_CLIPPING = frozenset({"Clip", "Relu"})
_SATURATION = 8.0
"""Beyond it, a sigmoid differs from 0 or 1 by less than 0.0004, and the swish of a negative value from 0 by 0.003.

That is less than half a step of 8 bits, 1/510 after a sigmoid and at least 8/510 before a swish.
"""

Readers = Mapping[str, list[onnx.NodeProto]]


def quantized_ranges(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto], ranges: ActivationRanges) -> TensorsData:
    """Return the range of each tensor that the nodes read or compute: its minimum and maximum.

    Values that the next operator makes equal get no part of the 256: before a ReLU or Clip, the range is that of its
    result; before a swish it begins at -8, and before another sigmoid it is within -8 and 8.

    Args:
        model: A float32 graph.
        nodes: The nodes that are quantized.
        ranges: The ranges of the graph's tensors.
    """
    nodes = list(nodes)
    tensors = {name for node in nodes for name in (*node.input, *node.output)} & ranges.tensors
    readers = _readers(model.graph)
    clipped = {
        node.input[0]: node.output[0]
        for node in nodes
        if node.op_type in _CLIPPING and node.input[0] in tensors and len(readers.get(node.input[0], ())) == 1
    }
    found = {name: _unsaturated(name, ends, readers) for name, ends in ranges.of(tensors - set(clipped)).items()}
    for before, after in reversed(clipped.items()):  # one may follow another
        found[before] = found[after]
    data = {
        name: TensorData(lowest=np.float32(found[name][0]), highest=np.float32(found[name][1]))
        for name in sorted(found)
    }
    return TensorsData(CalibrationMethod.MinMax, data)


def _readers(graph: onnx.GraphProto) -> Readers:
    """Return the nodes that read each tensor; an output of the graph has none, as its reader is unknown."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for output in graph.output:
        readers.pop(output.name, None)
    return readers


def _unsaturated(name: str, ends: tuple[float, float], readers: Readers) -> tuple[float, float]:
    """Return the range without the values of which all readers compute 0 or 1."""
    others = [node for node in readers.get(name, ()) if node.op_type != "Sigmoid"]
    sigmoids = [node.output[0] for node in readers.get(name, ()) if node.op_type == "Sigmoid"]
    if not sigmoids or not all(_is_product_with(name, sigmoids, node) for node in others):
        return ends
    highest = np.inf if others else _SATURATION
    lowest, largest = np.clip(ends, -_SATURATION, highest)
    return float(lowest), float(largest)


def _is_product_with(name: str, sigmoids: list[str], node: onnx.NodeProto) -> bool:
    return node.op_type == "Mul" and any(set(node.input) == {name, sigmoid} for sigmoid in sigmoids)
