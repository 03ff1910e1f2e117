"""Folding of BatchNorm into the linear layer before it, or else into one scale and shift.

At inference BatchNorm is y = γ (x − μ) / √(σ² + ε) + β, per channel. After a linear layer x = W * u + b this is again
a linear layer, with W' = s W and b' = s (b − μ) + β, where s = γ / √(σ² + ε). Computed in float64 and rounded once.

Source: Ioffe and Szegedy 2015, "Batch Normalization", algorithm 2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from camserve.export.frameworks import keras

import numpy as np
import numpy.typing as npt

from camserve.export.graph.network import Network, Step, Value
from camserve.export.graph.rebuild import rebuild_layer

__all__ = ["FoldReport", "ScaleAndShift", "fold", "foldable", "scale_and_shift", "to_float64"]

_FOLDS_INTO = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.Dense,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class FoldReport:
    """The result of folding.

    Attributes:
        folded: For each folded BatchNorm, its name and the name of the layer that it was folded into.
        kept: For each BatchNorm that is kept as one scale and shift, its name and the reason.
    """

    folded: tuple[tuple[str, str], ...]
    kept: tuple[tuple[str, str], ...]


class ScaleAndShift(keras.layers.Layer):  # type: ignore[misc]
    """BatchNorm at inference: `scale * x + shift` along one axis, with weights of these names.

    Args:
        axis: The axis of the channels.
        **settings: The settings of every Keras layer.
    """

    def __init__(self, axis: int = -1, **settings: Any) -> None:
        super().__init__(**settings)
        self.axis = axis

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create the weights, `[channels]` each."""
        self._along = tuple(-1 if place == self.axis % len(shape) else 1 for place in range(len(shape)))
        self.scale = self.add_weight(name="scale", shape=(shape[self.axis],), trainable=False)
        self.shift = self.add_weight(name="shift", shape=(shape[self.axis],), trainable=False)

    def call(self, inputs: Any) -> Any:
        """Return the inputs, scaled and shifted."""
        return inputs * keras.ops.reshape(self.scale, self._along) + keras.ops.reshape(self.shift, self._along)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of `from_config`."""
        return {**super().get_config(), "axis": self.axis}


def fold(network: Network) -> tuple[Network, FoldReport]:
    """Fold every BatchNorm that can be folded, and turn every other into one scale and shift.

    Laws: the result computes what the network computes, up to float32 rounding; folding it again changes nothing.
    """
    pairs = foldable(network)
    norms = {norm.outputs[0] for norm, _ in pairs}
    norm_after = {linear.outputs[0]: norm for norm, linear in pairs}
    steps = []
    for step in network.steps:
        norm = norm_after.get(step.outputs[0])
        steps.append(replace(step, operation=_merge(step.operation, norm.operation)) if norm else step)
    folded = network.with_steps(steps).without(lambda step: step.outputs[0] in norms)
    report = FoldReport(
        folded=tuple((norm.name, linear.name) for norm, linear in pairs),
        kept=tuple({step.name: _obstacle(folded, step) or "" for step in folded.steps if _is_norm(step)}.items()),
    )
    return folded.with_steps(map(_to_scale_and_shift, folded.steps)), report


def foldable(network: Network) -> list[tuple[Step, Step]]:
    """Return every BatchNorm that can be folded, with the linear layer that it can be folded into."""
    pairs = []
    for step in network.steps:
        if _is_norm(step) and _obstacle(network, step) is None:
            linear = network.producer(step.inputs[0])
            if linear is not None:
                pairs.append((step, linear))
    return pairs


def scale_and_shift(norm: Any) -> tuple[Array, Array]:
    """Return the factor and the summand of a BatchNorm at inference, float64 `[channels]` each."""
    mean, variance = to_float64(norm.moving_mean), to_float64(norm.moving_variance)
    gamma = to_float64(norm.gamma) if norm.scale else np.ones_like(mean)
    beta = to_float64(norm.beta) if norm.center else np.zeros_like(mean)
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return scale, beta - mean * scale


def _is_norm(step: Step) -> bool:
    return isinstance(step.operation, keras.layers.BatchNormalization)


def _obstacle(network: Network, norm: Step) -> str | None:
    """Return why the BatchNorm cannot be folded; None if it can."""
    source: Value = norm.inputs[0]
    linear = network.producer(source)
    if linear is None:
        return "it is the first layer after the network's input"
    if type(norm.operation) is not keras.layers.BatchNormalization:  # a subclass may compute otherwise
        return f"{norm.kind} is a subclass of BatchNormalization"
    if type(linear.operation) not in _FOLDS_INTO:
        return f"it follows {linear.kind} {linear.name!r}, which is not a convolution or Dense layer of Keras"
    rank = len(source.shape)
    obstacles = {
        f"{linear.name!r} has an activation": linear.operation.activation is not keras.activations.linear,
        f"{linear.name!r} has LoRA weights": getattr(linear.operation, "lora_enabled", False),
        f"the output of {linear.name!r} has other readers": (
            len(network.consumers(source)) > 1 or source == network.output
        ),
        f"{linear.name!r} or {norm.name!r} is called more than once": (
            network.calls(linear.operation) > 1 or network.calls(norm.operation) > 1
        ),
        f"it normalizes another axis than the channels of {linear.name!r}": (
            _channel_axis(linear.operation, rank) != _norm_axis(norm.operation, rank)
        ),
    }
    return next((reason for reason, applies in obstacles.items() if applies), None)


def _channel_axis(layer: Any, rank: int) -> int:
    return 1 if getattr(layer, "data_format", None) == "channels_first" else rank - 1


def _norm_axis(norm: Any, rank: int) -> int:
    axis = norm.axis[0] if isinstance(norm.axis, list | tuple) else norm.axis
    return int(axis) % rank


def _merge(layer: Any, norm: Any) -> Any:
    """Return a new layer that computes the linear layer and the BatchNorm after it."""
    scale, shift = scale_and_shift(norm)
    weights = [to_float64(weight) for weight in layer.get_weights()]
    bias = weights.pop() if layer.use_bias else np.zeros_like(scale)
    weights[-1] = weights[-1] * _broadcast_to_kernel(layer, scale)
    return rebuild_layer(layer, [*weights, bias * scale + shift], use_bias=True)


def _to_scale_and_shift(step: Step) -> Step:
    norm = step.operation
    if type(norm) is not keras.layers.BatchNormalization:
        return step
    layer = ScaleAndShift(_norm_axis(norm, len(step.inputs[0].shape)), name=norm.name, dtype=norm.dtype_policy)
    layer.build(step.inputs[0].shape)
    layer.set_weights(scale_and_shift(norm))
    return replace(step, operation=layer, args=step.inputs, kwargs={})


def _broadcast_to_kernel(layer: Any, scale: Array) -> Array:
    """Return the scale in the shape that multiplies the layer's last kernel along its output channels."""
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return scale[:, np.newaxis]  # kernel: height, width, out, in
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return scale.reshape(-1, layer.depth_multiplier)  # kernel: height, width, in, multiplier
    return scale  # kernel: ..., in, out; of a separable convolution, the pointwise kernel


def to_float64(value: Any) -> Array:
    """Convert a weight of Keras to a NumPy array in float64."""
    return np.asarray(keras.ops.convert_to_numpy(value), dtype=np.float64)
