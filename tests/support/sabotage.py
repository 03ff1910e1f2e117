"""Faults injected into an export, as negative controls of the parity gate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from camserve.export.formats import onnx_format
from camserve.export.graph import fold, head

__all__ = [
    "SABOTAGE",
    "change_one_weight",
    "change_onnx_file",
    "edit_weights",
    "forgotten_epsilon",
    "forgotten_mean",
    "sigmoid_for_softmax",
    "swap_channels",
    "use_sigmoid",
]


def change_onnx_file(monkeypatch: pytest.MonkeyPatch, change: Callable[[onnx.ModelProto], None]) -> None:
    """Change the ONNX file after the export has written it."""
    write = onnx_format.write_onnx

    def write_and_change(graph: onnx.ModelProto, path: Path, metadata: dict[str, str]) -> None:
        write(graph, path, metadata)
        changed = onnx.load(str(path))
        change(changed)
        onnx.save(changed, str(path))

    monkeypatch.setattr(onnx_format, "write_onnx", write_and_change)


def edit_weights(graph: onnx.ModelProto, operator: str, change: Callable[[Any], Any]) -> None:
    """Change the weights of the first node with an operator."""
    tensors = {tensor.name: tensor for tensor in graph.graph.initializer}
    node = next(node for node in graph.graph.node if node.op_type == operator and node.input[1] in tensors)
    tensor = tensors[node.input[1]]
    tensor.CopyFrom(onnx.numpy_helper.from_array(change(onnx.numpy_helper.to_array(tensor).copy()), tensor.name))


def change_one_weight(graph: onnx.ModelProto) -> None:
    """Change one weight of the first convolution of a graph."""

    def change(weights: Any) -> Any:
        weights.flat[7] += 0.05
        return weights

    edit_weights(graph, "Conv", change)


def swap_channels(graph: onnx.ModelProto) -> None:
    """Swap red and blue in the first convolution of a graph."""
    edit_weights(graph, "Conv", lambda weights: weights[:, ::-1].copy())


def one_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Change one weight of the first convolution."""

    change_onnx_file(monkeypatch, change_one_weight)


def swapped_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Swap red and blue in the first convolution."""
    change_onnx_file(monkeypatch, swap_channels)


def forgotten_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fold BatchNorm without its mean."""
    original = fold.scale_and_shift
    monkeypatch.setattr(fold, "scale_and_shift", lambda norm: (original(norm)[0], np.asarray(norm.beta, np.float64)))


def forgotten_epsilon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fold BatchNorm without its epsilon."""

    def without_epsilon(norm: Any) -> tuple[Any, Any]:
        mean, variance, gamma, beta = map(
            fold.to_float64, (norm.moving_mean, norm.moving_variance, norm.gamma, norm.beta)
        )
        scale = gamma / np.sqrt(variance)
        return scale, beta - mean * scale

    monkeypatch.setattr(fold, "scale_and_shift", without_epsilon)


def sigmoid_for_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute probabilities with a sigmoid."""
    change_onnx_file(monkeypatch, use_sigmoid)


def use_sigmoid(graph: onnx.ModelProto) -> None:
    """Replace the softmax of a graph by a sigmoid."""
    node = next(node for node in graph.graph.node if node.op_type == "Softmax")
    node.op_type = "Sigmoid"
    del node.attribute[:]


def another_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute the map with the weights of the next cell."""
    original = head.LinearHead.weights_by_position
    monkeypatch.setattr(head.LinearHead, "weights_by_position", lambda self: np.roll(original(self), 4, axis=1))


SABOTAGE: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], set[str]]] = {
    "one weight changed": (one_weight, {"logits", "probabilities", "cam"}),
    "channels swapped": (swapped_channels, {"logits", "probabilities", "cam"}),
    "a mean forgotten": (forgotten_mean, {"logits", "probabilities", "cam"}),
    "an epsilon forgotten": (forgotten_epsilon, {"logits", "probabilities", "cam"}),
    "sigmoid for softmax": (sigmoid_for_softmax, {"probabilities"}),
    "a map from another cell": (another_cell, {"cam", "cam_identity"}),
}
"""The faults by name, each with the metrics of the gate that must fail."""
