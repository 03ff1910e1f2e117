"""Pooling of the last features into cells."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

from camserve.export.frameworks import keras

from camserve.export.graph.network import Step, Value

__all__ = ["Pooling", "pooling_of", "unpooled"]


@dataclass(frozen=True)
class Pooling:
    """How the last features are pooled into cells.

    Attributes:
        kind: `global-average`, `average` or `flatten`, as in the contract.
        rows: For each row of the features, the row of its cell; -1 if it is in no cell.
        columns: For each column of the features, the column of its cell; -1 if it is in no cell.
    """

    kind: Literal["global-average", "average", "flatten"]
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    @property
    def grid(self) -> tuple[int, int]:
        """Return the height and width of the features, which are those of a map."""
        return len(self.rows), len(self.columns)

    @property
    def cells(self) -> tuple[int, int]:
        """Return the number of cells, down and across."""
        return 1 + max(self.rows), 1 + max(self.columns)


def pooling_of(step: Step) -> Pooling | None:
    """Return the average pooling of a step; None if the step is not average pooling, or its windows overlap."""
    if not step.inputs or len(step.inputs[0].shape) != 4:
        return None
    _, height, width, _ = step.inputs[0].shape
    if height is None or width is None:
        return None
    if _averages_everything(step):
        return Pooling("global-average", (0,) * height, (0,) * width)
    layer = step.operation
    if type(layer) is not keras.layers.AveragePooling2D or layer.data_format != "channels_last":
        return None
    rows, columns = (
        _cells(size, window, stride, layer.padding)
        for size, window, stride in zip((height, width), layer.pool_size, layer.strides, strict=True)
    )
    return Pooling("average", rows, columns) if rows and columns else None


def unpooled(features: Value) -> Pooling:
    """Return the pooling in which each position is a cell."""
    _, height, width, _ = features.shape
    return Pooling("flatten", tuple(range(height or 0)), tuple(range(width or 0)))


def _averages_everything(step: Step) -> bool:
    operation = step.operation
    if type(operation) is keras.layers.GlobalAveragePooling2D:
        return bool(operation.data_format == "channels_last")
    if isinstance(operation, keras.layers.Layer) or step.kind != "Mean":
        return False
    axes = operation.axis if isinstance(operation.axis, list | tuple) else [operation.axis]
    return None not in axes and sorted(axis % 4 for axis in axes) == [1, 2]


def _cells(size: int, window: int, stride: int, padding: str) -> tuple[int, ...]:
    """Return the cell of each position along one side, -1 for none; an empty tuple if windows overlap."""
    count = ceil(size / stride) if padding == "same" else (size - window) // stride + 1
    before = max((count - 1) * stride + window - size, 0) // 2 if padding == "same" else 0
    if count == 1:
        return tuple(0 if position + before < window else -1 for position in range(size))
    if stride < window:
        return ()
    cells = [-1] * size
    for position in range(size):
        cell, offset = divmod(position + before, stride)
        if offset < window and cell < count:
            cells[position] = cell
    return tuple(cells)
