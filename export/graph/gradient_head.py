"""A head that is not linear: the path from the last spatial features to the logits, each step with a backward rule.

The map of class c is the derivative of its logit by the features, times the features, summed over channels:

    M_c(x, y) = Σ_k ∂logit_c / ∂f_k(x, y) · f_k(x, y).

If no summand follows the last step at which the logits have a kink (ReLU, maximum), but only the bias b of linear
layers, then Σ_(x, y) M_c(x, y) + b_c = logit_c.

Source: Draelos and Carin 2020, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural
networks".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from camserve.export.frameworks import keras

import numpy as np
import numpy.typing as npt

from camserve.errors import HeadError
from camserve.export.graph.affine import backward_rule, only_rearranges
from camserve.export.graph.backward import Form
from camserve.export.graph.head import LinearHead, describe_step, find_linear_head, is_spatial
from camserve.export.graph.network import Network, Step, Value, run
from camserve.export.graph.pooling import pooling_of
from camserve.export.graph.rules import rule_of

__all__ = ["GradientHead", "Head", "find_gradient_head", "find_head"]


@dataclass(frozen=True)
class GradientHead:
    """The path from features to logits, which is not linear.

    Attributes:
        network: The steps of the path, as a network from the features to the logits.
        forms: What each step computes.
    """

    network: Network
    forms: tuple[Form, ...]

    @property
    def features(self) -> Value:
        """Return the last spatial features, NHWC."""
        return self.network.input

    @property
    def grid(self) -> tuple[int, int]:
        """Return the height and width of a map."""
        _, height, width, _ = self.features.shape
        return int(height or 0), int(width or 0)

    @property
    def layer(self) -> str:
        """Return the names of the layers with weights, joined by `+`."""
        return "+".join(step.name for step in self.network.steps if getattr(step.operation, "weights", None))

    @cached_property
    def bias(self) -> npt.NDArray[np.float64] | None:
        """The difference between each logit and the sum of its map, `[classes]`; None if it depends on the image."""
        degrees = {self.features: _HOMOGENEOUS}
        for step, form in zip(self.network.steps, self.forms, strict=True):
            degree = max(degrees[value] for value in step.inputs)
            if form == "affine":
                degree = max(degree, _SHIFTED)
            elif form == "other" or (form == "homogeneous" and degree == _SHIFTED):
                degree = _NEITHER
            degrees[step.outputs[0]] = degree
        if degrees[self.network.output] == _NEITHER:
            return None
        zeros = keras.ops.zeros((1, *self.features.shape[1:]), self.network.dtype)
        (logits,) = run(self.network, zeros, [self.network.output])
        bias: npt.NDArray[np.float64] = np.asarray(logits, np.float64)[0]
        return bias


Head = LinearHead | GradientHead

_HOMOGENEOUS, _SHIFTED, _NEITHER = range(3)
"""Of a value: homogeneous in the features, that plus a constant, or neither."""


def find_head(network: Network, logits: Value) -> Head:
    """Find the head of a network, as linear if it is.

    Raises:
        HeadError: If the head is neither linear nor of steps with backward rules; the message names the step.
    """
    try:
        return find_linear_head(network, logits)
    except HeadError:
        return find_gradient_head(network, logits)


def find_gradient_head(network: Network, logits: Value) -> GradientHead:
    """Find the path from the last spatial features to the logits, whatever its steps compute.

    The features are the last grid of more than one position on which the logits depend through no other value. If
    average pooling made that grid, they are its input, as in a linear head.

    Raises:
        HeadError: If a step on the path has no backward rule; the message names it.
    """
    needed = {logits}
    path: list[Step] = []
    for step in reversed(network.steps):
        if needed.isdisjoint(step.outputs):
            continue
        if len(needed) == 1 and _is_grid(network, next(iter(needed))) and pooling_of(step) is None:
            break
        if rule_of(step) is None:
            raise HeadError(
                f"the head has no derivative that camserve can compute: {describe_step(step)} is between the last "
                "spatial features and the logits",
                hint="Export without maps: --no-cam (maps require layers that docs/maps.md lists)",
            )
        needed = (needed - set(step.outputs)) | set(step.inputs)
        path.insert(0, step)
    (features,) = needed
    if not _is_grid(network, features):
        raise HeadError(
            "the head has no derivative that camserve can compute: the input is between the last spatial features and "
            "the logits",
            hint="Export without maps: --no-cam",
        )
    tail = replace(network.with_steps(path, output=logits), input=features)
    forms = tuple(rule.form for rule in map(rule_of, path) if rule is not None)
    return GradientHead(tail, forms)


def _is_grid(network: Network, value: Value) -> bool:
    """Return whether a value is a grid of positions, which the result of a Reshape is not, whatever its shape."""
    producer = network.producer(value)
    rearranged = producer is not None and only_rearranges(producer) and backward_rule(producer) is not None
    return is_spatial(value) and not rearranged
