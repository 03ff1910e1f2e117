"""Rewrites of an ONNX graph that the converter leaves to be done."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

__all__ = ["merge_padding_into_max_pool"]

_NEVER_NEGATIVE = frozenset({"Relu", "Sigmoid", "Softmax"})
_SPATIAL = 2  # the first two axes are batch and channels


def merge_padding_into_max_pool(graph: onnx.GraphProto) -> int:
    """Lets each MaxPool pad by itself what a Pad with zeros before it padded, and returns how many such there were.

    A MaxPool pads with minus infinity. After an activation that is never negative a zero can win no window that holds
    a value, and as long as the padding is smaller than the window each window holds one, so nothing changes.
    """
    producers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    pools = [node for node in graph.node if node.op_type == "MaxPool"]
    merged = sum(_merge(graph, pool, producers, constants) for pool in pools)
    if merged:
        _drop_unread_constants(graph)
    return merged


def _merge(graph: onnx.GraphProto, pool: Any, producers: dict[str, Any], constants: dict[str, Any]) -> bool:
    pad = producers.get(pool.input[0])
    if pad is None or pad.op_type != "Pad" or not _is_only_reader(graph, pad.output[0]):
        return False
    source = producers.get(pad.input[0])
    pads = _zero_padding(pad, constants)
    if source is None or source.op_type not in _NEVER_NEGATIVE or pads is None or not _fits(pool, pads):
        return False
    for attribute in [attribute for attribute in pool.attribute if attribute.name in ("auto_pad", "pads")]:
        pool.attribute.remove(attribute)
    pool.attribute.append(onnx.helper.make_attribute("pads", pads))
    pool.input[0] = pad.input[0]
    graph.node.remove(pad)
    return True


def _drop_unread_constants(graph: onnx.GraphProto) -> None:
    read = {name for node in graph.node for name in node.input}
    for constant in [constant for constant in graph.initializer if constant.name not in read]:
        graph.initializer.remove(constant)


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


def _fits(pool: Any, pads: list[int]) -> bool:
    """Whether the pool pads nothing yet and its window is larger than the padding."""
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in pool.attribute}
    free = attributes.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID") and not any(attributes.get("pads", ()))
    return free and all(pad < side for pad, side in zip(pads, [*attributes["kernel_shape"]] * 2, strict=True))
