"""The linear head: the way from the last spatial features to the logits, read from the network.

Where that way is linear the class activation map is exact (Zhou et al. 2016, "Learning Deep Features for
Discriminative Localization", equation 2, there for global average pooling). With features f, pooled in cells, and the
weight w of class c for channel k in each cell,

    M_c(x, y) = Σ_k w_k,c(cell of x, y) · f_k(x, y)        Σ_cells mean(M_c in the cell) + b_c = logit_c.

A cell is the whole grid under global average pooling, a window under average pooling, a position without pooling.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

import keras
import numpy as np
import numpy.typing as npt

from camserve.contract import Activation
from camserve.errors import HeadError, SourceError
from camserve.export.network import Network, Step, Value

__all__ = ["LinearHead", "Pooling", "find_linear_head", "with_logits"]


@dataclass(frozen=True)
class Pooling:
    """How the last features are pooled into cells.

    Attributes:
        kind: `global-average`, `average` or `flatten`, as in the contract.
        rows: For each row of the features, the row of the cell it falls in; -1 where no cell covers it.
        columns: The same for each column.
    """

    kind: Literal["global-average", "average", "flatten"]
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the features, and so of a map."""
        return len(self.rows), len(self.columns)

    @property
    def cells(self) -> tuple[int, int]:
        """Number of cells, down and across."""
        return 1 + max(self.rows), 1 + max(self.columns)


@dataclass(frozen=True)
class LinearHead:
    """The linear way from features to logits.

    Attributes:
        features: The last spatial features, NHWC.
        pooling: How they are pooled.
        weights: Float64 `[cells down, cells across, channels, classes]`.
        bias: Float64 `[classes]`.
        layer: Name of the linear layer.
    """

    features: Value
    pooling: Pooling
    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    layer: str

    def weights_by_position(self) -> npt.NDArray[np.float64]:
        """The weight that each position of the grid is counted with: `[height, width, channels, classes]`."""
        covered = np.outer(np.array(self.pooling.rows) >= 0, np.array(self.pooling.columns) >= 0)
        weights = self.weights[np.ix_(self.pooling.rows, self.pooling.columns)]
        return weights * covered[:, :, np.newaxis, np.newaxis]


def with_logits(network: Network) -> tuple[Network, Value, Activation]:
    """Moves the last activation to a step of its own at the very end, so that the logits are a value before it.

    Returns:
        The network, its logits, and the activation that turns them into its output.

    Raises:
        SourceError: If the output is not one vector of classes, or ends in another activation than softmax, sigmoid
            or linear.
    """
    if len(network.output.shape) != 2 or network.output.shape[1] is None:
        raise SourceError(
            f"model {network.name!r} gives {network.output.shape}; a classifier gives [batch, classes]",
            hint="Export the whole classifier, its last layer included",
        )
    last = next((step for step in _back_from(network, network.output) if not _is_transparent(step)), None)
    name = "linear" if last is None else _activation_name(last)
    if last is None or name == "linear":
        return network, network.output, "linear"
    if name not in ("softmax", "sigmoid"):
        raise SourceError(
            f"model {network.name!r} ends in layer {last.name!r} with activation {name!r}",
            hint="camserve knows softmax, sigmoid and linear (logits) at the end of a classifier",
        )
    stripped = _without_activation(network, last)
    logits = stripped.output
    probabilities = network.fresh(logits.shape)
    activation = keras.layers.Activation(
        name, name="probabilities", dtype=getattr(last.operation, "compute_dtype", None)
    )
    steps = (*stripped.steps, Step(activation, (logits,), {}, (probabilities,)))
    return stripped.with_steps(steps, output=probabilities), logits, "softmax" if name == "softmax" else "sigmoid"


def find_linear_head(network: Network, logits: Value) -> LinearHead:
    """Reads the head of a network whose logits are known.

    Raises:
        HeadError: If the way from the last spatial features to the logits is not linear; it names the layer.
    """
    path = (step for step in _back_from(network, logits) if not _is_transparent(step))
    linear, below = next(path, None), next(path, None)
    if linear is None or not _is_linear(linear):
        raise _not_linear(linear)
    pooling = _pooling(below)
    features = _features(network, below, pooling)
    if len(features.shape) != 4 or (pooling is None and features.shape[1:3] == (1, 1)):
        raise _not_linear(below)  # a map of one cell would explain nothing: what was pooled lies further back
    pooling = pooling or _unpooled(features)
    weights = [np.asarray(keras.ops.convert_to_numpy(weight), np.float64) for weight in linear.operation.weights]
    channels, classes = int(features.shape[3] or 0), weights[0].shape[-1]
    if weights[0].size != np.prod(pooling.cells) * channels * classes:
        raise _not_linear(linear)
    kernel = weights[0].reshape(*pooling.cells, channels, classes)
    return LinearHead(features, pooling, kernel, weights[1] if len(weights) > 1 else np.zeros(classes), linear.name)


def _back_from(network: Network, value: Value) -> Iterator[Step]:
    """The steps behind a value, last first, up to the first that joins several values."""
    step = network.producer(value)
    while step is not None:
        yield step
        step = network.producer(step.inputs[0]) if len(step.inputs) == 1 else None


def _is_transparent(step: Step) -> bool:
    """Whether the step leaves every number as it is, in the same order."""
    layer = step.operation
    if isinstance(layer, keras.layers.Activation):
        return _activation_name(step) == "linear"
    row_major = getattr(layer, "data_format", None) != "channels_first"
    return isinstance(layer, keras.layers.Flatten | keras.layers.Reshape) and row_major


def _is_linear(step: Step) -> bool:
    layer = step.operation
    pointwise = type(layer) is keras.layers.Conv2D and layer.kernel_size == (1, 1) and layer.groups == 1
    return (pointwise or type(layer) is keras.layers.Dense) and _activation_name(step) == "linear"


def _activation_name(step: Step) -> str:
    """Name of Keras's activation that the step ends with, `linear` where it has none; says so if it is another."""
    operation = step.operation
    if isinstance(operation, keras.layers.Softmax) or not isinstance(operation, keras.layers.Layer):
        over_classes = getattr(operation, "axis", -1) in (-1, len(step.outputs[0].shape) - 1)
        kind = type(operation).__name__.lower()
        return kind if over_classes else f"{kind} over axis {operation.axis}"
    function = getattr(operation, "activation", keras.activations.linear)
    name = str(getattr(function, "__name__", type(function).__name__))
    return name if getattr(keras.activations, name, None) is function else f"{name} (not Keras's own)"


def _without_activation(network: Network, last: Step) -> Network:
    if not getattr(last.operation, "weights", None):
        return network.without(lambda step: step is last)
    layer = last.operation
    bare = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    bare.build_from_config(layer.get_build_config())
    bare.set_weights(layer.get_weights())
    return network.with_steps(replace(step, operation=bare) if step is last else step for step in network.steps)


def _features(network: Network, below: Step | None, pooling: Pooling | None) -> Value:
    if below is None:
        return network.input
    if isinstance(below.operation, keras.layers.Permute):
        raise _not_linear(below)  # rows and columns would not be the picture's
    return below.outputs[0] if pooling is None else below.inputs[0]


def _pooling(step: Step | None) -> Pooling | None:
    """The pooling that the step does; None if it does another thing."""
    if step is None or not isinstance(
        step.operation, keras.layers.GlobalAveragePooling2D | keras.layers.AveragePooling2D
    ):
        return None
    _, height, width, _ = step.inputs[0].shape
    if height is None or width is None or step.operation.data_format != "channels_last":
        raise _not_linear(step)
    if isinstance(step.operation, keras.layers.GlobalAveragePooling2D):
        return Pooling("global-average", (0,) * height, (0,) * width)
    windows, strides, padding = step.operation.pool_size, step.operation.strides, step.operation.padding
    rows, columns = (
        _cells(size, window, stride, padding, step)
        for size, window, stride in zip((height, width), windows, strides, strict=True)
    )
    return Pooling("average", rows, columns)


def _cells(size: int, window: int, stride: int, padding: str, step: Step) -> tuple[int, ...]:
    """For each position along one side, the cell it falls in; -1 for none."""
    count = ceil(size / stride) if padding == "same" else (size - window) // stride + 1
    before = max((count - 1) * stride + window - size, 0) // 2 if padding == "same" else 0
    if count == 1:
        return tuple(0 if position + before < window else -1 for position in range(size))
    if stride < window:
        raise HeadError(
            f"layer {step.name!r} pools overlapping windows, so no single weight belongs to a position",
            hint="Export with --no-cam",
        )
    cells = [-1] * size
    for position in range(size):
        cell, offset = divmod(position + before, stride)
        if offset < window and cell < count:
            cells[position] = cell
    return tuple(cells)


def _unpooled(features: Value) -> Pooling:
    _, height, width, _ = features.shape
    return Pooling("flatten", tuple(range(height or 0)), tuple(range(width or 0)))


def _not_linear(step: Step | None) -> HeadError:
    layer = "the input" if step is None else f"layer {step.name!r} ({step.kind})"
    return HeadError(
        f"the head is not linear, or of a form that is not read: {layer} stands between the last spatial features and "
        "the logits",
        hint="A map needs pooling, then one Dense or 1x1 convolution; export without it: --no-cam",
    )
