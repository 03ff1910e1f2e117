"""The backward rule of a step: from the derivatives of logits by its output to those by its inputs.

The rules are forward operators, so that they become part of the served graph. Derivatives have the shape
`[batch, maps, *shape of the value]`, with a map for each of several logits. What an activation or a maximum contributes
depends on the image alone and is shared by its maps. A derivative that is equal along an axis may have size 1 there.

Rules of layers with weights are in `weighted_rules`, of normalizations in `normalization_rules`, those of pooling and
rearrangement in `shape_rules`, of sums and products in `arithmetic_rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from camserve.export.frameworks import tf

from camserve.export.graph.network import Step, Value

__all__ = ["Form", "MakeRule", "Product", "Rule", "materialize", "shape_of", "total"]

Form = Literal["linear", "affine", "homogeneous", "other"]
"""What a step computes: with t > 0, `homogeneous` is f(t · x) = t · f(x); `affine` is linear plus a constant."""


class Product(NamedTuple):
    """A derivative as a product, so that what the maps share is not computed for each.

    Attributes:
        each: `[batch, maps, *shape]`.
        shared: `[batch, *shape]`, or None for 1.
    """

    each: Any
    shared: Any = None


@dataclass(frozen=True)
class Rule:
    """The backward rule of a step.

    Attributes:
        form: What the step computes.
        backward: From the derivative by the output and the tensors of `reads` to the derivative by each input.
        reads: The values whose tensors the rule needs.
    """

    form: Form
    backward: Callable[[Any, Sequence[Any]], Sequence[Product]]
    reads: tuple[Value, ...] = ()


MakeRule = Callable[[Step], Rule | None]
"""From a step to its rule; None if a setting of the step is not supported."""


def total(products: Sequence[Product]) -> Any:
    """Return the sum of derivatives of one value, `[batch, maps, *shape]`."""
    first, *others = (each if shared is None else each * tf.expand_dims(shared, 1) for each, shared in products)
    return sum(others, start=first)


def materialize(derivative: Any, shape: Sequence[int]) -> Any:
    """Return a derivative with all elements along the axes on which it has the size 1."""
    if tuple(derivative.shape[2:]) == tuple(shape):
        return derivative
    return derivative + tf.zeros((1, 1, *shape), derivative.dtype)


def shape_of(value: Value) -> tuple[int, ...]:
    """Return the shape of a value without the batch."""
    return tuple(int(side or 0) for side in value.shape[1:])
