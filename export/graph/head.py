"""The linear head: the path from the last spatial features to the logits.

If that path is affine, the class activation map is exact. With features f, pooled in cells, and the weight w of class c
for channel k in each cell,

    M_c(x, y) = Σ_k w_k,c(cell of x, y) · f_k(x, y)        Σ_cells mean(M_c in the cell) + b_c = logit_c.

A cell is the whole grid for global average pooling, a window for average pooling, and a position without pooling. For
global average pooling, the mean of a map plus the bias is the logit. The weights are the composition of all steps from
the cells to the logits.

Source: Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", equation 2 (global average pooling).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

from camserve.export.frameworks import keras

import numpy as np
import numpy.typing as npt

from camserve.contract import Activation
from camserve.errors import HeadError, SourceError
from camserve.export.graph.affine import (
    Affine,
    BackwardRule,
    activation_name,
    backward_rule,
    only_rearranges,
)
from camserve.export.graph.affine_path import affine_path, steps_before
from camserve.export.graph.network import Network, Step, Value, is_layer
from camserve.export.graph.pooling import Pooling, pooling_of, unpooled
from camserve.export.graph.rebuild import rebuild_layer
from camserve.tensors import PROBABILITIES

__all__ = ["LinearHead", "Pooling", "describe_step", "find_linear_head", "is_spatial", "split_logits"]


@dataclass(frozen=True)
class LinearHead:
    """The linear path from features to logits.

    Attributes:
        features: The last spatial features, NHWC.
        pooling: How they are pooled.
        weights: Float64 `[cells down, cells across, channels, classes]`.
        bias: Float64 `[classes]`.
        layer: Name of the linear layer; several are joined by `+`; empty if the features are already maps.
    """

    features: Value
    pooling: Pooling
    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    layer: str

    @property
    def has_one_weight(self) -> bool:
        """Return whether every position of the grid has the same weight, as with global average pooling."""
        return self.weights.shape[:2] == (1, 1) and min(*self.pooling.rows, *self.pooling.columns) >= 0

    def weights_by_position(self) -> npt.NDArray[np.float64]:
        """Return the weight of each position of the grid, `[height, width, channels, classes]`; 0 outside all cells."""
        covered = np.outer(np.array(self.pooling.rows) >= 0, np.array(self.pooling.columns) >= 0)
        weights = self.weights[np.ix_(self.pooling.rows, self.pooling.columns)]
        return weights * covered[:, :, np.newaxis, np.newaxis]


def split_logits(network: Network) -> tuple[Network, Value, Activation]:
    """Move the last activation to a separate step at the end, so that the logits are a value of the network.

    Returns:
        The network, its logits, and the activation that turns them into its output.

    Raises:
        SourceError: If the output is not `[batch, classes]`, or ends in another activation than softmax, sigmoid or
            linear.
    """
    if len(network.output.shape) != 2 or network.output.shape[1] is None:
        raise SourceError(
            f"model {network.name!r} returns the shape {network.output.shape}; a classifier must return "
            "[batch, classes]",
            hint="Export the whole classifier with its last layer; if it returns [batch, 1, 1, classes], add a "
            "keras.layers.Flatten",
        )
    last = next((step for step in steps_before(network, network.output) if not _keeps_order(step)), None)
    name = "linear" if last is None or _is_unknown_layer(last) else activation_name(last)
    if last is None or name == "linear":
        return network, network.output, "linear"
    if name not in ("softmax", "sigmoid"):
        raise SourceError(
            f"model {network.name!r} ends in layer {last.name!r} with the unsupported activation {name!r}",
            hint="Use softmax, sigmoid or linear (logits) at the end of the classifier",
        )
    if name == "softmax" and last.outputs[0].shape[-1] != network.output.shape[1]:
        raise SourceError(
            f"layer {last.name!r} of model {network.name!r} applies softmax over {last.outputs[0].shape[-1]} values, "
            f"but the model returns {network.output.shape[1]}",
            hint="Apply softmax over all classes",
        )
    stripped = _without_activation(network, last)
    logits = stripped.output
    probabilities = network.fresh(logits.shape)
    activation = keras.layers.Activation(name, name=PROBABILITIES, dtype=getattr(last.operation, "compute_dtype", None))
    steps = (*stripped.steps, Step(activation, (logits,), {}, (probabilities,)))
    return stripped.with_steps(steps, output=probabilities), logits, "softmax" if name == "softmax" else "sigmoid"


def find_linear_head(network: Network, logits: Value) -> LinearHead:
    """Find the linear head of a network.

    The features are the input of the pooling that is nearest to the logits, or, without pooling, the nearest spatial
    value.

    Args:
        network: The network.
        logits: Its logits.

    Raises:
        HeadError: If the path from the features to the logits is not affine; the message names the layer.
    """
    path, stop = affine_path(network, logits)
    pooling = None if stop is None else pooling_of(stop)
    if stop is not None and pooling is not None:
        return _compose(stop.inputs[0], pooling, path, logits)
    values = [step.outputs[0] for step, _ in path] + [network.input if stop is None else stop.outputs[0]]
    # The result of a Reshape is not a grid of positions, whatever its shape.
    reshaped = [only_rearranges(step) for step, _ in path] + [False]
    place = next((place for place, value in enumerate(values) if is_spatial(value) and not reshaped[place]), None)
    if place is None:
        raise HeadError(
            f"the head is not linear: {describe_step(stop)} is between the last spatial features and the logits",
            hint="Export without maps: --no-cam",
        )
    return _compose(values[place], unpooled(values[place]), path[:place], logits)


def _compose(features: Value, pooling: Pooling, path: Sequence[tuple[Step, BackwardRule]], logits: Value) -> LinearHead:
    classes = int(logits.shape[1] or 0)
    affine = reduce(lambda after, link: link[1](after), path, Affine.identity(classes))
    weights = affine.weights.reshape(*pooling.cells, int(features.shape[3] or 0), classes)
    names = [step.name for step, _ in reversed(path) if getattr(step.operation, "weights", None)]
    return LinearHead(features, pooling, weights, affine.bias, "+".join(names))


def is_spatial(value: Value) -> bool:
    """Return whether the value is a grid of more than one position; a map of one position would explain nothing."""
    return len(value.shape) == 4 and value.shape[1:3] != (1, 1)


def _keeps_order(step: Step) -> bool:
    """Return whether the step leaves every element unchanged and in the same order."""
    is_permutation = isinstance(step.operation, keras.layers.Permute)
    return only_rearranges(step) and not is_permutation and backward_rule(step) is not None


def _is_unknown_layer(step: Step) -> bool:
    """Return whether the step is a custom layer without weights, whose `activation` may be only a part of it."""
    operation = step.operation
    known = keras.layers.Activation | keras.layers.Softmax
    return is_layer(operation) and not operation.weights and not isinstance(operation, known)


def _without_activation(network: Network, last: Step) -> Network:
    if not getattr(last.operation, "weights", None):
        return network.without(lambda step: step is last)
    bare = rebuild_layer(last.operation, activation="linear")
    return network.with_steps(replace(step, operation=bare) if step is last else step for step in network.steps)


def describe_step(step: Step | None) -> str:
    """Return the name, class and activation of a layer for a message; of None, the network's input."""
    if step is None:
        return "the input"
    activation = activation_name(step)
    ending = "" if activation == "linear" else f" with activation {activation!r}"
    joined = f" with {len(step.inputs)} inputs" if len(step.inputs) > 1 else ""
    return f"layer {step.name!r} ({step.kind}){ending}{joined}"
