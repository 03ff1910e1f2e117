"""Strides of 1x1 convolutions, moved to where the pixels are computed that they skip.

A convolution with a 1x1 kernel and stride 2 reads one of four pixels. ResNet begins each stage with two of them, so
that three quarters of the last block before are computed for nobody, a tenth of ResNet50's arithmetic. OpenVINO moves
such strides up by itself, but not through the nodes of an int8 graph: it inserts a pooling into DequantizeLinear, then
no longer recognizes it, and runs both convolutions in floating point.
"""

from __future__ import annotations

from typing import Any

from camserve.export.frameworks import onnx

from camserve.export.formats.nodes import reader_count
from camserve.export.formats.reshapes import Shape, inferred_shapes

__all__ = ["move_strides_up"]

_UNARY = frozenset({"Clip", "Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "Relu", "Sigmoid"})
_BINARY = frozenset({"Add", "Mul", "Sub"})


def move_strides_up(graph: onnx.GraphProto, opset: int) -> None:
    """Skip the pixels of a tensor that none of its readers, 1x1 convolutions with equal strides, read.

    The convolutions get stride 1, and the stride moves up through elementwise nodes and 1x1 convolutions into larger
    convolutions. Where a tensor has other readers too, a MaxPool of one pixel takes the pixels that are read. The
    values do not change.

    Args:
        graph: A graph; the order of its nodes may not be topological afterwards.
        opset: Its operator set.
    """
    mover = _Mover(graph, opset)
    for name in [name for node in reversed(graph.node) for name in node.output]:
        mover.move(name)


class _Mover:
    def __init__(self, graph: onnx.GraphProto, opset: int) -> None:
        self._graph = graph
        self._opset = opset
        self._shapes: dict[str, Shape] | None = None  # of the graph as it was; inferred when first needed
        self._weights = {tensor.name: tensor for tensor in graph.initializer}
        self._outputs = {output.name for output in graph.output}

    def move(self, name: str) -> None:
        """Move the common strides of all readers of a tensor up, if they are 1x1 convolutions."""
        readers = self._readers(name)
        strides = {tuple(self._skipping(node) or ()) for node in readers}
        if name in self._outputs or len(strides) != 1 or not (common := list(strides.pop())):
            return
        if any(list(node.input).index(name) != 0 for node in readers):
            return
        if self._shapes is None:
            self._shapes = dict(inferred_shapes(self._graph, self._opset))
        for node in readers:
            _set(node, "strides", [1] * len(common))
        self._thin(name, common)

    def _thin(self, name: str, strides: list[int]) -> None:
        """Change the producer of a tensor so that the tensor has only the pixels at these strides."""
        node = next((node for node in self._graph.node if name in node.output), None)
        if node is not None and self._is_convolution(node):
            if self._is_pointwise(node) and set(self._strides(node)) == {1} and self._is_only_read_once(node.input[0]):
                self._thin(node.input[0], strides)
            else:
                _set(node, "strides", [own * more for own, more in zip(self._strides(node), strides, strict=True)])
        elif node is not None and self._is_elementwise(node):
            for place in range(1 if node.op_type in _UNARY else 2):
                self._thin_input(node, place, strides)
        elif node is not None:
            whole = f"{name}:whole"
            node.output[:] = [whole if output == name else output for output in node.output]
            self._take(node, whole, name, strides)

    def _thin_input(self, node: Any, place: int, strides: list[int]) -> None:
        name = node.input[place]
        if self._is_only_read_once(name):
            self._thin(name, strides)
            return
        taken = f"{name}:of:{node.name}"
        if not any(taken in other.output for other in self._graph.node):  # read at both places
            self._take(node, name, taken, strides)
        node.input[place] = taken

    def _take(self, owner: Any, source: str, result: str, strides: list[int]) -> None:
        """Add the pooling that takes the pixels at these strides; it belongs to the layer of its owner."""
        sizes = {"kernel_shape": [1] * len(strides), "strides": strides}
        node = onnx.helper.make_node("MaxPool", [source], [result], f"{owner.name}:takes:{source}", **sizes)
        self._graph.node.append(node)

    def _skipping(self, node: Any) -> list[int] | None:
        """Return the strides of a 1x1 convolution that skips pixels; None for other nodes."""
        if not self._is_convolution(node) or not self._is_pointwise(node):
            return None
        strides = self._strides(node)
        return strides if max(strides) > 1 else None

    def _is_convolution(self, node: Any) -> bool:
        """Return whether a node is a convolution whose padding does not depend on its stride."""
        fixed = _attribute(node, "auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
        return node.op_type == "Conv" and fixed and node.input[1] in self._weights

    def _is_pointwise(self, node: Any) -> bool:
        kernel = self._weights[node.input[1]]
        return set(kernel.dims[2:]) == {1} and not any(_attribute(node, "pads", []))

    def _strides(self, node: Any) -> list[int]:
        return list(_attribute(node, "strides", [1] * (len(self._weights[node.input[1]].dims) - 2)))

    def _is_elementwise(self, node: Any) -> bool:
        """Return whether each element of the result depends on the elements at its own place, or on constants."""
        if node.op_type in _UNARY:
            return True
        shapes = self._shapes or {}
        whole = shapes.get(node.output[0])
        return (
            node.op_type in _BINARY
            and whole is not None
            and all(shapes.get(name, ())[1:] == whole[1:] for name in node.input)
        )

    def _readers(self, name: str) -> list[Any]:
        return [node for node in self._graph.node if name in node.input]

    def _is_only_read_once(self, name: str) -> bool:
        made = any(name in node.output for node in self._graph.node)
        return made and reader_count(self._graph, name) == 1


def _attribute(node: Any, name: str, default: Any) -> Any:
    found = (onnx.helper.get_attribute_value(attribute) for attribute in node.attribute if attribute.name == name)
    return next(found, default)


def _set(node: Any, name: str, value: list[int]) -> None:
    for attribute in [attribute for attribute in node.attribute if attribute.name == name]:
        node.attribute.remove(attribute)
    node.attribute.append(onnx.helper.make_attribute(name, value))
