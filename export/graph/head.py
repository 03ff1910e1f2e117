"""The linear head: the way from the last spatial features to the logits, read from the network.

Where that way is affine the class activation map is exact (Zhou et al. 2016, "Learning Deep Features for
Discriminative Localization", equation 2, there for global average pooling). With features f, pooled in cells, and the
weight w of class c for channel k in each cell,

    M_c(x, y) = Σ_k w_k,c(cell of x, y) · f_k(x, y)        Σ_cells mean(M_c in the cell) + b_c = logit_c.

A cell is the whole grid under global average pooling, a window under average pooling, a position without pooling.
The weights are those of all steps from the cells to the logits, put together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce

from camserve.export.frameworks import keras

import numpy as np
import numpy.typing as npt

from camserve.contract import Activation
from camserve.errors import HeadError, SourceError
from camserve.export.graph.affine import Affine, BackwardRule, activation_name, backward_rule, only_rearranges
from camserve.export.graph.network import Network, Step, Value
from camserve.export.graph.pooling import Pooling, pooling_of, unpooled
from camserve.export.graph.rebuild import rebuild_layer
from camserve.tensors import PROBABILITIES

__all__ = ["LinearHead", "Pooling", "find_linear_head", "split_logits"]


@dataclass(frozen=True)
class LinearHead:
    """The linear way from features to logits.

    Attributes:
        features: The last spatial features, NHWC.
        pooling: How they are pooled.
        weights: Float64 `[cells down, cells across, channels, classes]`.
        bias: Float64 `[classes]`.
        layer: Name of the linear layer; of several, joined by `+`; empty where the features are maps already.
    """

    features: Value
    pooling: Pooling
    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    layer: str

    @property
    def has_one_weight(self) -> bool:
        """Whether every position of the grid is counted with one weight, as after global average pooling."""
        return self.weights.shape[:2] == (1, 1) and min(*self.pooling.rows, *self.pooling.columns) >= 0

    def weights_by_position(self) -> npt.NDArray[np.float64]:
        """The weight that each position of the grid is counted with: `[height, width, channels, classes]`."""
        covered = np.outer(np.array(self.pooling.rows) >= 0, np.array(self.pooling.columns) >= 0)
        weights = self.weights[np.ix_(self.pooling.rows, self.pooling.columns)]
        return weights * covered[:, :, np.newaxis, np.newaxis]


def split_logits(network: Network) -> tuple[Network, Value, Activation]:
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
            hint="Export the whole classifier, its last layer included; one that gives [batch, 1, 1, classes] lacks a "
            "keras.layers.Flatten",
        )
    last = next((step for step in _back_from(network, network.output) if not _keeps_order(step)), None)
    name = "linear" if last is None or _ends_in_nothing_known(last) else activation_name(last)
    if last is None or name == "linear":
        return network, network.output, "linear"
    if name not in ("softmax", "sigmoid"):
        raise SourceError(
            f"model {network.name!r} ends in layer {last.name!r} with activation {name!r}",
            hint="camserve knows softmax, sigmoid and linear (logits) at the end of a classifier",
        )
    if name == "softmax" and last.outputs[0].shape[-1] != network.output.shape[1]:
        raise SourceError(
            f"layer {last.name!r} of model {network.name!r} takes a softmax over {last.outputs[0].shape[-1]} numbers, "
            f"and the model gives {network.output.shape[1]}",
            hint="The softmax of a classifier is over its classes",
        )
    stripped = _without_activation(network, last)
    logits = stripped.output
    probabilities = network.fresh(logits.shape)
    activation = keras.layers.Activation(name, name=PROBABILITIES, dtype=getattr(last.operation, "compute_dtype", None))
    steps = (*stripped.steps, Step(activation, (logits,), {}, (probabilities,)))
    return stripped.with_steps(steps, output=probabilities), logits, "softmax" if name == "softmax" else "sigmoid"


def find_linear_head(network: Network, logits: Value) -> LinearHead:
    """Reads the head of a network whose logits are known.

    The features are what the pooling nearest to the logits takes, or, without one, the spatial value nearest to them.

    Raises:
        HeadError: If the way from there to the logits is not affine; it names the layer.
    """
    path, stop = _affine_path(network, logits)
    pooling = None if stop is None else pooling_of(stop)
    if stop is not None and pooling is not None:
        return _head(stop.inputs[0], pooling, path, logits)
    values = [step.outputs[0] for step, _ in path] + [network.input if stop is None else stop.outputs[0]]
    # What a Reshape has just made of other numbers is no image, whatever its shape.
    made = [only_rearranges(step) for step, _ in path] + [False]
    place = next((place for place, value in enumerate(values) if _is_spatial(value) and not made[place]), None)
    if place is None:
        raise _not_linear(stop)
    return _head(values[place], unpooled(values[place]), path[:place], logits)


def _affine_path(network: Network, logits: Value) -> tuple[list[tuple[Step, BackwardRule]], Step | None]:
    """The affine steps back from the logits, last first, and the step before them: a pooling, or one not affine."""
    path: list[tuple[Step, BackwardRule]] = []
    for step in _back_from(network, logits):
        read = backward_rule(step)
        if read is None:
            return path, step
        path.append((step, read))
    return path, None


def _head(features: Value, pooling: Pooling, path: Sequence[tuple[Step, BackwardRule]], logits: Value) -> LinearHead:
    classes = int(logits.shape[1] or 0)
    whole = reduce(lambda after, link: link[1](after), path, Affine.identity(classes))
    weights = whole.weights.reshape(*pooling.cells, int(features.shape[3] or 0), classes)
    names = [step.name for step, _ in reversed(path) if getattr(step.operation, "weights", None)]
    return LinearHead(features, pooling, weights, whole.bias, "+".join(names))


def _back_from(network: Network, value: Value) -> Iterator[Step]:
    """The steps behind a value, last first, up to the first that joins several values."""
    step = network.producer(value)
    while step is not None:
        yield step
        step = network.producer(step.inputs[0]) if len(step.inputs) == 1 else None


def _is_spatial(value: Value) -> bool:
    """Whether it is a grid of more than one position: a map of one would explain nothing."""
    return len(value.shape) == 4 and value.shape[1:3] != (1, 1)


def _keeps_order(step: Step) -> bool:
    """Whether the step leaves every number as it is, in the same order."""
    return (
        only_rearranges(step)
        and not isinstance(step.operation, keras.layers.Permute)
        and backward_rule(step) is not None
    )


def _ends_in_nothing_known(step: Step) -> bool:
    """Whether the step is a layer of the user's own without weights, of whose inside `activation` tells a part only."""
    operation = step.operation
    known = keras.layers.Activation | keras.layers.Softmax
    return isinstance(operation, keras.layers.Layer) and not operation.weights and not isinstance(operation, known)


def _without_activation(network: Network, last: Step) -> Network:
    if not getattr(last.operation, "weights", None):
        return network.without(lambda step: step is last)
    bare = rebuild_layer(last.operation, activation="linear")
    return network.with_steps(replace(step, operation=bare) if step is last else step for step in network.steps)


def _not_linear(step: Step | None) -> HeadError:
    return HeadError(
        f"the head is not linear, or of a form that is not read: {_told(step)} stands between the last spatial "
        "features and the logits",
        hint="A map needs pooling by averages, or none, and then linear layers alone; export without it: --no-cam",
    )


def _told(step: Step | None) -> str:
    if step is None:
        return "the input"
    activation = activation_name(step)
    ending = "" if activation == "linear" else f" with activation {activation!r}"
    joined = f" that joins {len(step.inputs)} values" if len(step.inputs) > 1 else ""
    return f"layer {step.name!r} ({step.kind}){ending}{joined}"
