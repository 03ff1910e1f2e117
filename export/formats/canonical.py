"""Deterministic order and names in an ONNX graph, so that a network always gives the same file.

The converter names nodes by counters and keeps unused ones. Here the graph is rebuilt from its outputs backwards: a
node is named `<Keras layer>/<operator>`, its tensors and weights after it, and unused nodes are removed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from camserve.export.frameworks import onnx

from camserve.export.graph.served import MAPS, PIXELS, STEP

__all__ = ["canonicalize", "layer_of"]

_SCOPE = re.compile(rf"(?:.*?/)??(?:{STEP}(\d+)|({PIXELS}|{MAPS}))/")  # the outermost; a layer may open inner scopes
_ROLES = {
    "Conv": ("", "weight", "bias"),
    "ConvTranspose": ("", "weight", "bias"),
    "Gemm": ("", "weight", "bias"),
    "MatMul": ("weight", "weight"),
    "Reshape": ("", "shape"),
}


def canonicalize(graph: onnx.GraphProto, steps: Sequence[str], into: onnx.GraphProto) -> None:
    """Copy a graph with an order and names that depend only on what it computes, and move its weights.

    Law: the result does not depend on the order of nodes and weights in `graph`, nor on its names except for the
    scopes of `served.scope_of`; two conversions of the same network give the same bytes.

    Args:
        graph: A graph with declared inputs and outputs. Its weights are cleared, because a second copy would take much
            memory.
        steps: The name of each step's Keras layer.
        into: The result, an empty graph.
    """
    nodes = list(_in_order(graph))
    layers = _layers(graph, nodes, steps)
    names = _names(graph, nodes, layers)
    weights = {tensor.name: tensor for tensor in graph.initializer}
    into.name = "camserve"
    into.input.extend(graph.input)
    into.output.extend(graph.output)
    for name, node in _named(nodes, layers):
        copy = into.node.add()
        copy.CopyFrom(node)
        copy.name = name
        copy.input[:] = [names[tensor] if tensor else "" for tensor in node.input]
        copy.output[:] = [names.get(tensor, "") for tensor in node.output]
        copy.doc_string = ""
    for tensor in dict.fromkeys(tensor for node in nodes for tensor in node.input if tensor in weights):
        into.initializer.add().CopyFrom(weights[tensor])
        into.initializer[-1].name = names[tensor]
        weights[tensor].Clear()


def layer_of(name: str, steps: Sequence[str]) -> str | None:
    """Return the Keras layer from which the converter made a node or tensor; None if its name contains no scope.

    Args:
        name: The name of the node or tensor.
        steps: The name of each step's Keras layer.
    """
    scope = _SCOPE.match(name)
    if scope is None:
        return None
    return scope[2] if scope[1] is None else steps[int(scope[1])]


def _in_order(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes on which an output depends in topological order, those of the first output first."""
    producers = {tensor: node for node in graph.node for tensor in node.output if tensor}
    done: set[str] = set()
    waiting = [output.name for output in reversed(graph.output)]
    while waiting:  # no recursion, because a deep network exceeds Python's recursion limit
        node = producers.get(waiting[-1])
        if node is None or node.output[0] in done:
            waiting.pop()
            continue
        missing = [tensor for tensor in node.input if tensor in producers and producers[tensor].output[0] not in done]
        if missing:
            waiting.extend(reversed(missing))
            continue
        done.add(node.output[0])
        yield node


def _layers(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto], steps: Sequence[str]) -> list[str]:
    """Return the Keras layer of each node: from its name, its unshared weights' names, or the node before it."""
    readers = Counter(tensor for node in nodes for tensor in node.input)
    weights = {tensor.name for tensor in graph.initializer if readers[tensor.name] == 1}
    by_tensor: dict[str, str] = {}
    layers = []
    for node in nodes:
        read = [tensor for tensor in node.input if tensor in weights]
        named = (layer_of(name, steps) for name in (node.name, *read))
        preceding = (by_tensor[tensor] for tensor in node.input if tensor in by_tensor)
        layer = next((layer for layer in named if layer), None) or next(preceding, PIXELS)
        by_tensor.update(dict.fromkeys(node.output, layer))
        layers.append(layer)
    return layers


def _named(nodes: Sequence[onnx.NodeProto], layers: Sequence[str]) -> Iterator[tuple[str, onnx.NodeProto]]:
    counts: Counter[str] = Counter()
    for node, layer in zip(nodes, layers, strict=True):
        name = f"{layer}/{node.op_type}"
        counts[name] += 1
        yield (name if counts[name] == 1 else f"{name}_{counts[name]}"), node


def _names(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto], layers: Sequence[str]) -> dict[str, str]:
    """Return the new name of every tensor; the graph's inputs and outputs keep theirs."""
    names = {tensor.name: tensor.name for tensor in (*graph.input, *graph.output)}
    for name, node in _named(nodes, layers):
        for place, tensor in enumerate(node.input):
            if tensor:
                names.setdefault(tensor, f"{name}.{_role(node.op_type, place)}")
        for place, tensor in enumerate(node.output):
            if tensor:
                names.setdefault(tensor, f"{name}:{place}")
    return names


def _role(operator: str, place: int) -> str:
    roles = _ROLES.get(operator, ())
    return (roles[place] if place < len(roles) else "") or f"input{place}"
