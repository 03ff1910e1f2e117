"""Folding of BatchNorm into the linear layer before it; where it cannot be folded, into one scale and shift.

At inference BatchNorm is y = γ (x − μ) / √(σ² + ε) + β, per channel (Ioffe and Szegedy 2015, algorithm 2). After a
linear layer x = W * u + b that is again a linear layer, with W' = s W and b' = s (b − μ) + β, where s = γ / √(σ² + ε).
The arithmetic is done in float64 and rounded once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from camserve.export.frameworks import keras

import numpy as np
import numpy.typing as npt

from camserve.export.graph.network import Network, Step, Value
from camserve.export.graph.rebuild import rebuild_layer

__all__ = ["FoldReport", "ScaleAndShift", "fold", "foldable", "scale_and_shift"]

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
    """What folding did.

    Attributes:
        folded: For each BatchNorm that is gone, its name and the name of the layer it went into.
        kept: For each BatchNorm that stays, as one scale and shift, its name and why.
    """

    folded: tuple[tuple[str, str], ...]
    kept: tuple[tuple[str, str], ...]


class ScaleAndShift(keras.layers.Layer):  # type: ignore[misc]
    """What a BatchNorm does at inference: `scale * x + shift` along one axis, with weights of these names.

    Args:
        axis: The axis of the channels.
        **settings: As of every Keras layer.
    """

    def __init__(self, axis: int = -1, **settings: Any) -> None:
        super().__init__(**settings)
        self.axis = axis

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Makes the weights: `[channels]` each."""
        self._along = tuple(-1 if place == self.axis % len(shape) else 1 for place in range(len(shape)))
        self.scale = self.add_weight(name="scale", shape=(shape[self.axis],), trainable=False)
        self.shift = self.add_weight(name="shift", shape=(shape[self.axis],), trainable=False)

    def call(self, inputs: Any) -> Any:
        """The inputs, scaled and shifted."""
        return inputs * keras.ops.reshape(self.scale, self._along) + keras.ops.reshape(self.shift, self._along)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {**super().get_config(), "axis": self.axis}


def fold(network: Network) -> tuple[Network, FoldReport]:
    """Folds every BatchNorm that can be folded, and makes one scale and shift of each that cannot.

    Laws: the result says what the network said, to float32 rounding; `fold` of the result changes nothing.
    """
    pairs = foldable(network)
    norms = {norm.outputs[0] for norm, _ in pairs}
    norm_after = {linear.outputs[0]: norm for norm, linear in pairs}
    steps = []
    for step in network.steps:
        norm = norm_after.get(step.outputs[0])
        steps.append(replace(step, operation=_merged(step.operation, norm.operation)) if norm else step)
    folded = network.with_steps(steps).without(lambda step: step.outputs[0] in norms)
    report = FoldReport(
        folded=tuple((norm.name, linear.name) for norm, linear in pairs),
        kept=tuple({step.name: _obstacle(folded, step) or "" for step in folded.steps if _is_norm(step)}.items()),
    )
    return folded.with_steps(map(_as_scale_and_shift, folded.steps)), report


def foldable(network: Network) -> list[tuple[Step, Step]]:
    """Every BatchNorm that can be folded, with the linear layer it can be folded into."""
    pairs = []
    for step in network.steps:
        if _is_norm(step) and _obstacle(network, step) is None:
            linear = network.producer(step.inputs[0])
            if linear is not None:
                pairs.append((step, linear))
    return pairs


def _is_norm(step: Step) -> bool:
    return isinstance(step.operation, keras.layers.BatchNormalization)


def _obstacle(network: Network, norm: Step) -> str | None:
    """Why the BatchNorm cannot be folded; None when it can."""
    source: Value = norm.inputs[0]
    linear = network.producer(source)
    if linear is None:
        return "it stands at the network's input"
    # A subclass may do something else with its weights.
    if type(norm.operation) is not keras.layers.BatchNormalization:
        return f"{norm.kind} is a class of its own"
    if type(linear.operation) not in _FOLDS_INTO:
        return f"it follows {linear.kind} {linear.name!r}, which is not a convolution or Dense layer of Keras"
    rank = len(source.shape)
    obstacles = {
        f"an activation stands between {linear.name!r} and it": (
            linear.operation.activation is not keras.activations.linear
        ),
        f"{linear.name!r} has LoRA weights beside its own": getattr(linear.operation, "lora_enabled", False),
        f"{linear.name!r} has other readers": len(network.consumers(source)) > 1 or source == network.output,
        f"{linear.name!r} or {norm.name!r} is shared between several places": (
            network.calls(linear.operation) > 1 or network.calls(norm.operation) > 1
        ),
        f"it normalises another axis than the channels of {linear.name!r}": (
            _channel_axis(linear.operation, rank) != _norm_axis(norm.operation, rank)
        ),
    }
    return next((reason for reason, stands in obstacles.items() if stands), None)


def _channel_axis(layer: Any, rank: int) -> int:
    return 1 if getattr(layer, "data_format", None) == "channels_first" else rank - 1


def _norm_axis(norm: Any, rank: int) -> int:
    axis = norm.axis[0] if isinstance(norm.axis, list | tuple) else norm.axis
    return int(axis) % rank


def _merged(layer: Any, norm: Any) -> Any:
    """A new layer that does what the linear layer and the BatchNorm after it did."""
    scale, shift = scale_and_shift(norm)
    weights = [_float64(weight) for weight in layer.get_weights()]
    bias = weights.pop() if layer.use_bias else np.zeros_like(scale)
    weights[-1] = weights[-1] * _along_output_channels(layer, scale)
    return rebuild_layer(layer, [*weights, bias * scale + shift], use_bias=True)


def _as_scale_and_shift(step: Step) -> Step:
    norm = step.operation
    if type(norm) is not keras.layers.BatchNormalization:
        return step
    layer = ScaleAndShift(_norm_axis(norm, len(step.inputs[0].shape)), name=norm.name, dtype=norm.dtype_policy)
    layer.build(step.inputs[0].shape)
    layer.set_weights(scale_and_shift(norm))
    return replace(step, operation=layer, args=step.inputs, kwargs={})


def scale_and_shift(norm: Any) -> tuple[Array, Array]:
    """What a BatchNorm multiplies by and adds at inference, float64 `[channels]` each."""
    mean, variance = _float64(norm.moving_mean), _float64(norm.moving_variance)
    gamma = _float64(norm.gamma) if norm.scale else np.ones_like(mean)
    beta = _float64(norm.beta) if norm.center else np.zeros_like(mean)
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return scale, beta - mean * scale


def _along_output_channels(layer: Any, scale: Array) -> Array:
    """The scale in the shape that multiplies the layer's last kernel along its output channels."""
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return scale[:, np.newaxis]  # kernel: height, width, out, in
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return scale.reshape(-1, layer.depth_multiplier)  # kernel: height, width, in, multiplier
    return scale  # kernel: ..., in, out; of a separable convolution, the pointwise one


def _float64(value: Any) -> Array:
    return np.asarray(keras.ops.convert_to_numpy(value), dtype=np.float64)
