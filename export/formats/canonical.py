"""One network, one file: the nodes of an ONNX graph in an order and under names that no run and no machine changes.

The converter names what it makes by counters, and keeps what nobody reads. Here the graph is written anew from its
outputs backwards: a node is called `<Keras layer>/<operator>`, its tensors and weights after it, and nothing stays
that no output depends on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from camserve.export.frameworks import onnx

from camserve.export.graph.served import MAPS, PIXELS, STEP

__all__ = ["canonicalize", "layer_of"]

_SCOPE = re.compile(rf"(?:.*?/)??(?:{STEP}(\d+)|({PIXELS}|{MAPS}))/")  # the outermost; a layer may have its own inside
_ROLES = {
    "Conv": ("", "weight", "bias"),
    "ConvTranspose": ("", "weight", "bias"),
    "Gemm": ("", "weight", "bias"),
    "MatMul": ("weight", "weight"),
    "Reshape": ("", "shape"),
}


def canonicalize(graph: onnx.GraphProto, steps: Sequence[str], into: onnx.GraphProto) -> None:
    """Writes the same graph, ordered and named by what it computes alone, and moves its weights there.

    Law: the result does not depend on the names in `graph`, the scopes of `served.scope_of` in them aside, nor on the
    order of its nodes and weights; applied to two conversions of one network it gives the same bytes.

    Args:
        graph: A graph whose inputs and outputs are declared; it is left without weights, as two copies of all would
            cost much memory.
        steps: The Keras layer of each step.
        into: An empty graph.
    """
    nodes = list(_in_order(graph))
    layers = _layers(graph, nodes, steps)
    names = _names(graph, nodes, layers)
    weights = {tensor.name: tensor for tensor in graph.initializer}
    into.name = "camserve"
    into.input.extend(graph.input)
    into.output.extend(graph.output)
    for name, node in _named(nodes, layers):
        fresh = into.node.add()
        fresh.CopyFrom(node)
        fresh.name = name
        fresh.input[:] = [names[tensor] if tensor else "" for tensor in node.input]
        fresh.output[:] = [names.get(tensor, "") for tensor in node.output]
        fresh.doc_string = ""
    for tensor in dict.fromkeys(tensor for node in nodes for tensor in node.input if tensor in weights):
        into.initializer.add().CopyFrom(weights[tensor])
        into.initializer[-1].name = names[tensor]
        weights[tensor].Clear()


def layer_of(name: str, steps: Sequence[str]) -> str | None:
    """The Keras layer that a name of the converter's comes from; None if the name does not say.

    Args:
        name: Of a node or tensor.
        steps: The Keras layer of each step.
    """
    scope = _SCOPE.match(name)
    if scope is None:
        return None
    return scope[2] if scope[1] is None else steps[int(scope[1])]


def _in_order(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes that an output depends on, each after those it reads, the first output's first."""
    producers = {tensor: node for node in graph.node for tensor in node.output if tensor}
    done: set[str] = set()
    waiting = [output.name for output in reversed(graph.output)]
    while waiting:  # no recursion: a deep network is deeper than Python allows
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
    """The Keras layer of each node: as its name says, or the names of weights it alone has, or the node it follows."""
    readers = Counter(tensor for node in nodes for tensor in node.input)
    weights = {tensor.name for tensor in graph.initializer if readers[tensor.name] == 1}
    by_tensor: dict[str, str] = {}
    layers = []
    for node in nodes:
        read = [tensor for tensor in node.input if tensor in weights]
        told = (layer_of(name, steps) for name in (node.name, *read))
        followed = (by_tensor[tensor] for tensor in node.input if tensor in by_tensor)
        layer = next((layer for layer in told if layer), None) or next(followed, PIXELS)
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
    """The new name of every tensor; the graph's inputs and outputs keep theirs."""
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
