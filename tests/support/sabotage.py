"""Ways to make an export wrong in one respect, each a negative control of the gate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from camserve.export.formats import onnx_format
from camserve.export.graph import fold, head

__all__ = ["SABOTAGE", "edit", "rewritten"]


def rewritten(monkeypatch: pytest.MonkeyPatch, change: Callable[[onnx.ModelProto], None]) -> None:
    """Lets the export write its ONNX file, and then changes the file."""
    write = onnx_format.write_onnx

    def write_and_change(graph: onnx.ModelProto, path: Path, metadata: dict[str, str]) -> None:
        write(graph, path, metadata)
        changed = onnx.load(str(path))
        change(changed)
        onnx.save(changed, str(path))

    monkeypatch.setattr(onnx_format, "write_onnx", write_and_change)


def edit(graph: onnx.ModelProto, operator: str, change: Callable[[Any], Any]) -> None:
    """Changes the weights of the first node of an operator."""
    tensors = {tensor.name: tensor for tensor in graph.graph.initializer}
    node = next(node for node in graph.graph.node if node.op_type == operator and node.input[1] in tensors)
    tensor = tensors[node.input[1]]
    tensor.CopyFrom(onnx.numpy_helper.from_array(change(onnx.numpy_helper.to_array(tensor).copy()), tensor.name))


def one_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes one weight of the first convolution."""

    def change(weights: Any) -> Any:
        weights.flat[7] += 0.05
        return weights

    rewritten(monkeypatch, lambda graph: edit(graph, "Conv", change))


def swapped_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the first convolution read red for blue."""
    rewritten(monkeypatch, lambda graph: edit(graph, "Conv", lambda weights: weights[:, ::-1].copy()))


def forgotten_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folds BatchNorm without its mean."""
    right = fold.scale_and_shift
    monkeypatch.setattr(fold, "scale_and_shift", lambda norm: (right(norm)[0], np.asarray(norm.beta, np.float64)))


def another_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws the map with the weights of the next cell."""
    right = head.LinearHead.weights_by_position
    monkeypatch.setattr(head.LinearHead, "weights_by_position", lambda self: np.roll(right(self), 4, axis=1))


SABOTAGE: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], set[str]]] = {
    "one weight changed": (one_weight, {"logits", "probabilities", "cam"}),
    "channels swapped": (swapped_channels, {"logits", "probabilities", "cam"}),
    "a mean forgotten": (forgotten_mean, {"logits", "probabilities", "cam"}),
    "a map from another cell": (another_cell, {"cam", "cam_identity"}),
}
"""Each way by name, with the figures of the gate that it must miss."""
