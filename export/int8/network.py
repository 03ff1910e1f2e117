"""A float32 graph of which any layers can be quantized to int8."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from camserve.export.frameworks import onnx

import numpy.typing as npt

from camserve.choices import Int8Target
from camserve.export.formats.activations import ActivationRanges
from camserve.export.formats.quantize import quantize, quantized_nodes, weighted_nodes
from camserve.export.int8.expense import Expense

__all__ = ["Int8Network", "layer_nodes"]


class Int8Network:
    """A float32 graph of which any layers can be quantized.

    The ranges of its activations are measured once. A layer that stays float32 takes with it what the quantizer leaves
    in float32 without it: an activation function after it, for example.

    Args:
        model: The float32 graph, with nodes named `<Keras layer>/<operator>`.
        stay_float: Names of the nodes of the head, which stay float32.
        images: The calibration images, in the dtype and shape of the graph's input.
        target: The runtime that int8 is for.

    Attributes:
        target: The runtime that int8 is for.
    """

    def __init__(
        self, model: onnx.ModelProto, stay_float: Collection[str], images: npt.NDArray[Any], target: Int8Target
    ) -> None:
        self._model = model
        self._stay_float = frozenset(stay_float)
        self._images = images
        self.target = target
        self._ranges = ActivationRanges(model, images)
        self._nodes = layer_nodes(model, stay_float, target)

    @property
    def float32(self) -> onnx.ModelProto:
        """Return the graph without quantization."""
        return self._model

    @property
    def layers(self) -> tuple[str, ...]:
        """Return the Keras layers that int8 can quantize, in the order of the graph."""
        return tuple(self._nodes)

    def quantized(self, float_layers: Collection[str] = ()) -> onnx.ModelProto:
        """Return the graph in int8, except for some layers.

        Args:
            float_layers: The layers that stay float32.

        Raises:
            ConversionError: If nothing is left to quantize, or ONNX Runtime fails.
        """
        nodes = {node for layer in float_layers for node in self._nodes[layer]}
        return quantize(self._model, self._images, self._stay_float | nodes, self.target, self._ranges)

    def expenses(self) -> dict[str, int]:
        """Return the estimated cost of each layer in float32, with what is not quantized without it."""
        expense, every = Expense(self._model), self._quantized_nodes(())
        costs = {}
        for layer in self._nodes:
            others = {node.name for node in self._quantized_nodes(self._nodes[layer])}
            costs[layer] = expense.of(node for node in every if node.name not in others)
        return costs

    def _quantized_nodes(self, float_nodes: Collection[str]) -> list[onnx.NodeProto]:
        return quantized_nodes(self._model, self._stay_float | set(float_nodes), self.target, self._ranges.tensors)

    def with_one_quantized(self, layer: str) -> onnx.ModelProto:
        """Return the graph in which only one layer is quantized, and all others are float32."""
        return self.quantized([other for other in self._nodes if other != layer])


def layer_nodes(model: onnx.ModelProto, stay_float: Collection[str], target: Int8Target) -> dict[str, tuple[str, ...]]:
    """Return the names of the nodes with weights of each Keras layer, of those that int8 can quantize.

    A layer may have several: a separable convolution has two.
    """
    nodes: dict[str, tuple[str, ...]] = {}
    for node in weighted_nodes(model, stay_float, target):
        layer = node.name.rpartition("/")[0]
        nodes[layer] = (*nodes.get(layer, ()), node.name)
    return nodes
