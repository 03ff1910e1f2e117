"""One sigmoid as two classes: the logits [-z, z], whose sigmoids are 1 - p and p.

The map of the first class is the negative of the map of the second, because both logits are linear in z.
"""

from __future__ import annotations

from typing import Any

from camserve.export.frameworks import keras

from camserve.contract import Activation
from camserve.errors import SourceError
from camserve.export.graph.network import Network, Step, Value

__all__ = ["OppositeLogits", "as_two_classes"]

_APPEND = (
    "If it was trained with from_logits=True, export keras.Sequential([model, keras.layers.Activation('sigmoid')]); "
    "otherwise remove --labels"
)
_REPLACE = "Train it with 2 units, or with sigmoid instead of softmax"


class OppositeLogits(keras.layers.Layer):  # type: ignore[misc]
    """Return `[-z, z]`, `[batch, 2]`, for z `[batch, 1]`."""

    def call(self, inputs: Any) -> Any:
        """Concatenate both logits."""
        return keras.ops.concatenate([-inputs, inputs], axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the two logits."""
        return (*input_shape[:-1], 2)


def as_two_classes(network: Network, logits: Value, activation: Activation) -> tuple[Network, Value]:
    """Make a classifier with one sigmoid return two classes.

    Args:
        network: The network after `split_logits`, with one output.
        logits: Its logit.
        activation: The function from its logit to its output.

    Returns:
        The network and its two logits.

    Raises:
        SourceError: If it does not end in a sigmoid.
    """
    last = network.producer(network.output)
    if activation != "sigmoid" or last is None:
        what = "without sigmoid" if activation == "linear" else f"after {activation}, which is always 1"
        raise SourceError(
            f"model {network.name!r} returns one value {what}, but 2 labels are given",
            hint=_REPLACE if activation == "softmax" else _APPEND,
        )
    both = network.fresh((logits.shape[0], 2))
    dtype = getattr(last.operation, "compute_dtype", None)
    opposite = Step(OppositeLogits(name="two_classes", dtype=dtype), (logits,), {}, (both,))
    probabilities = Value(both.number + 1, both.shape)
    sigmoid = Step(last.operation, (both,), {}, (probabilities,))
    steps = (*(step for step in network.steps if step is not last), opposite, sigmoid)
    return network.with_steps(steps, output=probabilities), both
