"""Conversion of an ONNX graph to half precision (float16), with its head in float32.

The existing converters (`convert_float_to_float16` of onnxruntime and onnxconverter-common) round the result of every
node that stays in float32 to float16 and back, and silently clip weights that exceed float16.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from camserve.export.frameworks import onnx

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from camserve.errors import ConversionError
from camserve.export.formats.activations import activation_ranges, float_tensors
from camserve.export.framework_errors import reason

__all__ = ["LARGEST_HALF", "largest_activation", "to_half_precision"]

LARGEST_HALF = 65504.0
"""The largest finite float16 value (IEEE 754 binary16)."""

_HALF = "tensor(float16)"
_TYPED_BY_ATTRIBUTE = frozenset({"Constant", "ConstantOfShape", "EyeLike"})
_NEVER_LARGER = frozenset({"Concat", "Flatten", "MaxPool", "Relu", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


def to_half_precision(model: onnx.ModelProto, stay_float: Collection[str]) -> onnx.ModelProto:
    """Convert weights and activations to half precision, except those of nodes that stay in float32.

    Inputs and outputs of the graph keep their types. A Cast is added only where the precision changes. Operators that
    ONNX does not define for float16, and inputs that must be float32, stay in float32.

    Args:
        model: A float32 graph, its nodes in topological order.
        stay_float: Names of the nodes that stay in float32: the head, so that its sums neither overflow nor lose small
            terms.

    Returns:
        A new graph, deterministic for the same arguments.

    Raises:
        ConversionError: If a weight exceeds float16, or the graph has no node with such a name.
    """
    plan = _plan(model, stay_float)
    half = onnx.ModelProto()
    half.CopyFrom(model)
    _convert_weights(half.graph, plan)
    _convert_nodes(half.graph, plan)
    del half.graph.value_info[:]
    try:
        onnx.checker.check_model(half, full_check=True)
    except Exception as error:  # noqa: BLE001  the checker and type inference raise different exceptions
        raise ConversionError(
            f"cannot convert the network to half precision: {reason(error)}", hint="Export with --precision fp32"
        ) from None
    return half


def largest_activation(model: onnx.ModelProto, stay_float: Collection[str], images: npt.NDArray[np.generic]) -> float:
    """Return the largest magnitude, in float32, of all tensors that `to_half_precision` would convert.

    Above `LARGEST_HALF` a device that computes in float16 returns infinity. ONNX Runtime on the CPU computes such
    graphs in float32 where it can, and would not reveal the overflow.

    Args:
        model: The float32 graph.
        stay_float: The same as for `to_half_precision`.
        images: Input images of the graph, `[n, height, width, channels]` with n > 0, float32 or uint8.
    """
    plan = _plan(model, stay_float)
    weights = {tensor.name for tensor in model.graph.initializer}
    bounded = {node.output[0] for node in model.graph.node if node.op_type in _NEVER_LARGER}
    ranges = activation_ranges(model, (plan.made | plan.halves) - weights - bounded, images)
    return max((abs(extreme) for pair in ranges.values() for extreme in pair), default=0.0)


@dataclass(frozen=True)
class _Plan:
    """What is converted to half precision.

    Attributes:
        reads: For each node, by its index in the graph, the indices of the inputs that it reads in half precision.
        made: Tensors that nodes compute in half precision.
        halves: Tensors and weights that some node reads in half precision.
        singles: Tensors and weights that some node reads in float32, and the outputs of the graph.
    """

    reads: tuple[frozenset[int], ...]
    made: frozenset[str]
    halves: frozenset[str]
    singles: frozenset[str]


def _plan(model: onnx.ModelProto, stay_float: Collection[str]) -> _Plan:
    nodes = model.graph.node
    unknown = sorted(set(stay_float) - {node.name for node in nodes})
    if unknown:
        raise ConversionError(f"the ONNX graph has no node named {', '.join(unknown)}")
    floats = float_tensors(model)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    converted = [node.name not in stay_float and _supports_half(node, opsets, floats) for node in nodes]
    readable = floats | {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    reads = tuple(
        _inputs_half_name(node, opsets, readable) if half else frozenset()
        for node, half in zip(nodes, converted, strict=True)
    )
    uses = [
        (name, place in half) for node, half in zip(nodes, reads, strict=True) for place, name in enumerate(node.input)
    ]
    return _Plan(
        reads=reads,
        made=frozenset(
            name for node, half in zip(nodes, converted, strict=True) if half for name in node.output if name in floats
        ),
        halves=frozenset(name for name, half in uses if half),
        singles=frozenset(name for name, half in uses if not half) | {output.name for output in model.graph.output},
    )


def _schema(node: onnx.NodeProto, opsets: dict[str, int]) -> Any:
    return onnx.defs.get_schema(node.op_type, opsets[node.domain], node.domain)


def _supports_half(node: onnx.NodeProto, opsets: dict[str, int], floats: set[str]) -> bool:
    """Return whether every float32 output of the node may be float16 instead."""
    if node.op_type in _TYPED_BY_ATTRIBUTE or any(attribute.g.node for attribute in node.attribute):
        return False
    formal = _schema(node, opsets).outputs
    return all(
        _HALF in formal[min(place, len(formal) - 1)].types for place, name in enumerate(node.output) if name in floats
    )


def _inputs_half_name(node: onnx.NodeProto, opsets: dict[str, int], readable: set[str]) -> frozenset[int]:
    formal = _schema(node, opsets).inputs
    return frozenset(
        place
        for place, name in enumerate(node.input)
        if name in readable and _HALF in formal[min(place, len(formal) - 1)].types
    )


def _convert_weights(graph: onnx.GraphProto, plan: _Plan) -> None:
    """Convert each weight that is read in half precision; keep the float32 weight if it is read as well."""
    for tensor in [tensor for tensor in graph.initializer if tensor.name in plan.halves]:
        values = onnx.numpy_helper.to_array(tensor)
        if (np.abs(values) > LARGEST_HALF).any():
            raise ConversionError(
                f"weight {tensor.name!r} has the magnitude {np.abs(values).max():.6g}; the float16 maximum is "
                f"{LARGEST_HALF:.0f}",
                hint="Export with --precision fp32",
            )
        half = onnx.numpy_helper.from_array(values.astype(np.float16), _half_name(tensor.name))
        graph.initializer.append(half)
        if tensor.name not in plan.singles:
            graph.initializer.remove(tensor)


def _convert_nodes(graph: onnx.GraphProto, plan: _Plan) -> None:
    """Rename the tensors in half precision, and add a Cast after each tensor that is read in both precisions."""
    nodes = list(graph.node)
    outside = plan.halves - plan.made  # read in half precision, computed in float32
    del graph.node[:]
    graph.node.extend(_cast(entry.name, TensorProto.FLOAT16) for entry in graph.input if entry.name in outside)
    for node, reads in zip(nodes, plan.reads, strict=True):
        for place in reads:
            node.input[place] = _half_name(node.input[place])
        made = list(node.output)
        for place, name in enumerate(made):
            if name in plan.made:
                node.output[place] = _half_name(name)
        if node.op_type == "Cast" and made[0] in plan.made:
            node.attribute[0].i = TensorProto.FLOAT16
        graph.node.append(node)
        graph.node.extend(_cast(name, TensorProto.FLOAT16) for name in made if name in outside)
        graph.node.extend(_cast(name, TensorProto.FLOAT) for name in made if name in plan.made & plan.singles)


def _cast(name: str, to: int) -> onnx.NodeProto:
    source, result = (name, _half_name(name)) if to == TensorProto.FLOAT16 else (_half_name(name), name)
    return onnx.helper.make_node("Cast", [source], [result], name=f"{name}/Cast", to=to)


def _half_name(name: str) -> str:
    return f"{name}/half"
