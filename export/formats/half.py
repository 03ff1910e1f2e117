"""An ONNX graph in half precision, its head left in single.

The converters that are about (onnxruntime's and onnxconverter-common's `convert_float_to_float16`) round the result of
every node that stays in float32 to half and back, which is what the head is kept from here, and set weights that half
cannot hold to its largest number without a word.
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

__all__ = ["LARGEST_HALF", "largest_activation", "to_half_precision"]

LARGEST_HALF = 65504.0
"""The largest finite number of half precision (IEEE 754 binary16)."""

_HALF = "tensor(float16)"
_TYPED_BY_ATTRIBUTE = frozenset({"Constant", "ConstantOfShape", "EyeLike"})
_NEVER_LARGER = frozenset({"Concat", "Flatten", "MaxPool", "Relu", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


def to_half_precision(model: onnx.ModelProto, stay_float: Collection[str]) -> onnx.ModelProto:
    """The graph with weights and activations in half precision, where it is not told to stay in float32.

    Inputs and outputs of the graph keep their types. A Cast stands where a tensor passes from one precision to the
    other, and nowhere else; a node with an operator that knows no half, or an input that must be float32, keeps it.

    Args:
        model: A float32 graph, its nodes in topological order.
        stay_float: Names of the nodes that stay in float32: the head, so that its sums can neither overflow nor lose
            small terms.

    Returns:
        A new graph; the same for the same arguments.

    Raises:
        ConversionError: If a weight is too large for half precision, or there is no node of such a name.
    """
    plan = _plan(model, stay_float)
    half = onnx.ModelProto()
    half.CopyFrom(model)
    _convert_weights(half.graph, plan)
    _convert_nodes(half.graph, plan)
    del half.graph.value_info[:]
    try:
        onnx.checker.check_model(half, full_check=True)
    except Exception as error:  # the checker and type inference have no common base
        raise ConversionError(
            f"the network cannot be put into half precision: {error}", hint="Export with --precision fp32"
        ) from error
    return half


def largest_activation(model: onnx.ModelProto, stay_float: Collection[str], images: npt.NDArray[np.generic]) -> float:
    """The largest magnitude, in float32, of any tensor that `to_half_precision` would put into half.

    Above `LARGEST_HALF` a device that computes in half gives infinity. ONNX Runtime on the CPU computes half graphs in
    float32 where it can, and would not show it.

    Args:
        model: The float32 graph.
        stay_float: As given to `to_half_precision`.
        images: `[n, height, width, channels]` as the graph takes them, n > 0; a few are run at a time.
    """
    plan = _plan(model, stay_float)
    weights = {tensor.name for tensor in model.graph.initializer}
    bounded = {node.output[0] for node in model.graph.node if node.op_type in _NEVER_LARGER}
    ranges = activation_ranges(model, (plan.made | plan.halves) - weights - bounded, images)
    return max((abs(bound) for pair in ranges.values() for bound in pair), default=0.0)


@dataclass(frozen=True)
class _Plan:
    """What becomes half.

    Attributes:
        reads: For each node, by its place in the graph, the numbers of its inputs that it reads in half.
        made: Tensors that nodes give in half.
        halves: Names that some node reads in half, weights among them.
        singles: Names that some node reads otherwise, or that are outputs of the graph.
    """

    reads: tuple[frozenset[int], ...]
    made: frozenset[str]
    halves: frozenset[str]
    singles: frozenset[str]


def _plan(model: onnx.ModelProto, stay_float: Collection[str]) -> _Plan:
    nodes = model.graph.node
    unknown = sorted(set(stay_float) - {node.name for node in nodes})
    if unknown:
        raise ConversionError(f"no node of the ONNX graph is named {', '.join(unknown)}")
    floats = float_tensors(model)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    converted = [node.name not in stay_float and _knows_half(node, opsets, floats) for node in nodes]
    readable = floats | {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    reads = tuple(
        _inputs_in_half(node, opsets, readable) if half else frozenset()
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


def _knows_half(node: onnx.NodeProto, opsets: dict[str, int], floats: set[str]) -> bool:
    """Whether every float32 result of the node may as well be half."""
    if node.op_type in _TYPED_BY_ATTRIBUTE or any(attribute.g.node for attribute in node.attribute):
        return False
    formal = _schema(node, opsets).outputs
    return all(
        _HALF in formal[min(place, len(formal) - 1)].types for place, name in enumerate(node.output) if name in floats
    )


def _inputs_in_half(node: onnx.NodeProto, opsets: dict[str, int], readable: set[str]) -> frozenset[int]:
    formal = _schema(node, opsets).inputs
    return frozenset(
        place
        for place, name in enumerate(node.input)
        if name in readable and _HALF in formal[min(place, len(formal) - 1)].types
    )


def _convert_weights(graph: onnx.GraphProto, plan: _Plan) -> None:
    """Puts each weight that is read in half into half, under a name of its own if it is read in float32 as well."""
    for tensor in [tensor for tensor in graph.initializer if tensor.name in plan.halves]:
        values = onnx.numpy_helper.to_array(tensor)
        if (np.abs(values) > LARGEST_HALF).any():
            raise ConversionError(
                f"weight {tensor.name!r} holds {np.abs(values).max():.6g}; half precision ends at {LARGEST_HALF:.0f}",
                hint="Export with --precision fp32",
            )
        half = onnx.numpy_helper.from_array(values.astype(np.float16), _in_half(tensor.name))
        graph.initializer.append(half)
        if tensor.name not in plan.singles:
            graph.initializer.remove(tensor)


def _convert_nodes(graph: onnx.GraphProto, plan: _Plan) -> None:
    """Renames what is read and made in half, and puts a Cast behind each tensor that is wanted in both precisions."""
    nodes = list(graph.node)
    outside = plan.halves - plan.made  # read in half, and made in float32
    del graph.node[:]
    graph.node.extend(_cast(entry.name, TensorProto.FLOAT16) for entry in graph.input if entry.name in outside)
    for node, reads in zip(nodes, plan.reads, strict=True):
        for place in reads:
            node.input[place] = _in_half(node.input[place])
        made = list(node.output)
        for place, name in enumerate(made):
            if name in plan.made:
                node.output[place] = _in_half(name)
        if node.op_type == "Cast" and made[0] in plan.made:
            node.attribute[0].i = TensorProto.FLOAT16
        graph.node.append(node)
        graph.node.extend(_cast(name, TensorProto.FLOAT16) for name in made if name in outside)
        graph.node.extend(_cast(name, TensorProto.FLOAT) for name in made if name in plan.made & plan.singles)


def _cast(name: str, to: int) -> onnx.NodeProto:
    source, result = (name, _in_half(name)) if to == TensorProto.FLOAT16 else (_in_half(name), name)
    return onnx.helper.make_node("Cast", [source], [result], name=f"{name}/Cast", to=to)


def _in_half(name: str) -> str:
    return f"{name}/half"
