"""Rewrites of an ONNX graph that the converter leaves to be done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from camserve.export.frameworks import onnx

import numpy as np

__all__ = ["drop_multiplication_by_one", "guard_padding_before_max_pool", "merge_padding"]

_NEVER_NEGATIVE = frozenset({"Relu", "Sigmoid", "Softmax"})
_HAIR = 2.0**-24
_SPATIAL = 2  # where the spatial axes begin, after batch and channels


def merge_padding(graph: onnx.GraphProto) -> int:
    """Lets convolutions and max pools pad by themselves what a Pad with zeros before them padded.

    A convolution pads with zeros too. A MaxPool pads with minus infinity; after an activation that is never negative a
    zero can win no window that holds a value, and as long as the padding is smaller than the window each window holds
    one, so nothing changes.

    Returns:
        How many such there were.
    """
    producers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    padded = [node for node in graph.node if node.op_type in ("Conv", "MaxPool")]
    return sum(_merge(graph, node, producers, constants) for node in padded)


def guard_padding_before_max_pool(graph: onnx.GraphProto) -> int:
    """Makes the zeros that are left before a MaxPool a hair larger, and returns how many such Pads there were.

    Since 1.17 ONNX Runtime merges every such Pad into the pool, as if nothing there could be negative, and then a
    window of negative values at the edge gives another answer. It knows zeros by their value alone. 2^-24 is what
    float32 rounds at for activations of size 1, and the least that half precision can hold.
    """
    producers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    pads = {node.input[0]: producers.get(node.input[0]) for node in graph.node if node.op_type == "MaxPool"}
    left = [pad for pad in pads.values() if pad is not None and pad.op_type == "Pad" and _zero_padding(pad, constants)]
    for pad in left:
        name = f"{pad.output[0]}:guarded"
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(_HAIR, np.float32), name))
        pad.input[2:] = [name]
    return len(left)


def drop_multiplication_by_one(graph: onnx.GraphProto) -> int:
    """Takes out each Mul by the number 1, which Keras writes into every swish, and returns how many such there were."""
    ones = {
        tensor.name
        for tensor in graph.initializer
        if not tensor.dims and tensor.data_type == onnx.TensorProto.FLOAT and onnx.numpy_helper.to_array(tensor) == 1
    }
    outputs = {output.name for output in graph.output}
    dropped = {}
    for node in [node for node in graph.node if node.op_type == "Mul"]:
        factors = [name for name in node.input if name not in ones]
        if len(factors) == 1 and node.output[0] not in outputs:
            dropped[node.output[0]] = factors[0]
            graph.node.remove(node)
    for node in graph.node:
        node.input[:] = [_followed(name, dropped) for name in node.input]
    return len(dropped)


def _followed(name: str, dropped: Mapping[str, str]) -> str:
    while name in dropped:
        name = dropped[name]
    return name


def _merge(graph: onnx.GraphProto, node: Any, producers: dict[str, Any], constants: dict[str, Any]) -> bool:
    pad = producers.get(node.input[0])
    if pad is None or pad.op_type != "Pad" or not _is_only_reader(graph, pad.output[0]):
        return False
    source = producers.get(pad.input[0])
    pads = _zero_padding(pad, constants)
    own = _own_padding(node)
    if pads is None or own is None or (node.op_type == "MaxPool" and not _harmless(node, source, pads, own)):
        return False
    for attribute in [attribute for attribute in node.attribute if attribute.name in ("auto_pad", "pads")]:
        node.attribute.remove(attribute)
    both = [first + second for first, second in zip(pads, own, strict=True)]
    node.attribute.append(onnx.helper.make_attribute("pads", both))
    node.input[0] = pad.input[0]
    graph.node.remove(pad)
    return True


def _is_only_reader(graph: onnx.GraphProto, name: str) -> bool:
    readers = sum(list(node.input).count(name) for node in graph.node)
    return readers == 1 and all(output.name != name for output in graph.output)


def _zero_padding(pad: Any, constants: dict[str, Any]) -> list[int] | None:
    """Padding of the spatial axes, their beginnings and then their ends; None if it is not of zeros, or of others."""
    mode = next((attribute.s for attribute in pad.attribute if attribute.name == "mode"), b"constant")
    if mode != b"constant" or len(pad.input) not in (2, 3) or any(name not in constants for name in pad.input[1:]):
        return None
    sizes, *value = (onnx.numpy_helper.to_array(constants[name]) for name in pad.input[1:])
    begins, ends = np.split(sizes, 2)
    others = (*begins[:_SPATIAL], *ends[:_SPATIAL], *(figure for part in value for figure in part.flat))
    if any(others) or (sizes < 0).any():
        return None
    return [int(size) for size in (*begins[_SPATIAL:], *ends[_SPATIAL:])]


def _attributes(node: Any) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _own_padding(node: Any) -> list[int] | None:
    """What the node pads by itself; None if that depends on the size of what it is given."""
    attributes = _attributes(node)
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return None
    return list(attributes.get("pads", [0] * 2 * len(attributes["kernel_shape"])))


def _harmless(pool: Any, source: Any, pads: list[int], own: list[int]) -> bool:
    """Whether minus infinity in place of zeros changes nothing in what a pool gives."""
    sides = [*_attributes(pool)["kernel_shape"]] * 2
    smaller = all(pad < side for pad, side in zip(pads, sides, strict=True))
    return source is not None and source.op_type in _NEVER_NEGATIVE and smaller and not any(own)
