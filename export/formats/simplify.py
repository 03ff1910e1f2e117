"""Simplifications of an ONNX graph that the converter does not do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from camserve.export.frameworks import onnx

import numpy as np

from camserve.export.formats.nodes import reader_count

__all__ = ["guard_padding_before_max_pool", "merge_padding", "remove_multiplication_by_one"]

_NEVER_NEGATIVE = frozenset({"Relu", "Sigmoid", "Softmax"})
_GUARD = 2.0**-24
_SPATIAL = 2  # where the spatial axes begin, after batch and channels


def merge_padding(graph: onnx.GraphProto) -> None:
    """Merge each Pad with zeros into the convolution or max pool after it.

    A convolution pads with zeros too. A MaxPool pads with minus infinity: after an activation that is never negative
    this has the same result, if the padding is smaller than the window, so that every window contains a value.
    """
    producers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    padded = [node for node in graph.node if node.op_type in ("Conv", "MaxPool")]
    for node in padded:
        _merge(graph, node, producers, constants)


def guard_padding_before_max_pool(graph: onnx.GraphProto) -> None:
    """Replace the zeros of each remaining Pad before a MaxPool by 2^-24.

    ONNX Runtime 1.17 and newer merges a Pad with zeros into the pool even after negative values, which changes the
    result of a window of negative values at the edge. 2^-24 is the rounding error of float32 for activations of
    magnitude 1, and the smallest positive float16 value.
    """
    producers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    pads = {node.input[0]: producers.get(node.input[0]) for node in graph.node if node.op_type == "MaxPool"}
    for pad in pads.values():
        if pad is None or pad.op_type != "Pad" or not _zero_padding(pad, constants):
            continue
        name = f"{pad.output[0]}:guarded"
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(_GUARD, np.float32), name))
        pad.input[2:] = [name]


def remove_multiplication_by_one(graph: onnx.GraphProto) -> None:
    """Remove each Mul by the constant 1, which Keras adds to every swish."""
    ones = {
        tensor.name
        for tensor in graph.initializer
        if not tensor.dims and tensor.data_type == onnx.TensorProto.FLOAT and onnx.numpy_helper.to_array(tensor) == 1
    }
    outputs = {output.name for output in graph.output}
    replaced = {}
    for node in [node for node in graph.node if node.op_type == "Mul"]:
        factors = [name for name in node.input if name not in ones]
        if len(factors) == 1 and node.output[0] not in outputs:
            replaced[node.output[0]] = factors[0]
            graph.node.remove(node)
    for node in graph.node:
        node.input[:] = [_resolve(name, replaced) for name in node.input]


def _resolve(name: str, replaced: Mapping[str, str]) -> str:
    while name in replaced:
        name = replaced[name]
    return name


def _merge(graph: onnx.GraphProto, node: Any, producers: dict[str, Any], constants: dict[str, Any]) -> None:
    pad = producers.get(node.input[0])
    if pad is None or pad.op_type != "Pad" or reader_count(graph, pad.output[0]) != 1:
        return
    source = producers.get(pad.input[0])
    pads = _zero_padding(pad, constants)
    own = _own_padding(node)
    if pads is None or own is None or (node.op_type == "MaxPool" and not _harmless(node, source, pads, own)):
        return
    for attribute in [attribute for attribute in node.attribute if attribute.name in ("auto_pad", "pads")]:
        node.attribute.remove(attribute)
    both = [first + second for first, second in zip(pads, own, strict=True)]
    node.attribute.append(onnx.helper.make_attribute("pads", both))
    node.input[0] = pad.input[0]
    graph.node.remove(pad)


def _zero_padding(pad: Any, constants: dict[str, Any]) -> list[int] | None:
    """Return the padding of the spatial axes, starts before ends; None if it is not with zeros, or pads other axes."""
    mode = next((attribute.s for attribute in pad.attribute if attribute.name == "mode"), b"constant")
    if mode != b"constant" or len(pad.input) not in (2, 3) or any(name not in constants for name in pad.input[1:]):
        return None
    sizes, *value = (onnx.numpy_helper.to_array(constants[name]) for name in pad.input[1:])
    begins, ends = np.split(sizes, 2)
    others = (*begins[:_SPATIAL], *ends[:_SPATIAL], *(number for part in value for number in part.flat))
    if any(others) or (sizes < 0).any():
        return None
    return [int(size) for size in (*begins[_SPATIAL:], *ends[_SPATIAL:])]


def _attributes(node: Any) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _own_padding(node: Any) -> list[int] | None:
    """Return the node's own padding; None if it depends on the input size."""
    attributes = _attributes(node)
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return None
    return list(attributes.get("pads", [0] * 2 * len(attributes["kernel_shape"])))


def _harmless(pool: Any, source: Any, pads: list[int], own: list[int]) -> bool:
    """Return whether a pool has the same result with minus infinity as with zeros."""
    sides = [*_attributes(pool)["kernel_shape"]] * 2
    smaller = all(pad < side for pad, side in zip(pads, sides, strict=True))
    return source is not None and source.op_type in _NEVER_NEGATIVE and smaller and not any(own)
