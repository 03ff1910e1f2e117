"""Networks that take RGB instead of BGR, so that the graph need not reverse the channels of every image.

A convolution is a sum over the channels of its input: if the channels of its kernel are reordered like those of the
image, the sum has the same terms. Steps before it that treat each channel for itself, such as padding and pooling,
return what they returned, in the order of their input. `reordering` has the rule of each step.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from camserve.contract import Preprocessing
from camserve.export.graph.network import Network, Value
from camserve.export.graph.reordering import Order, reorder

__all__ = ["take_rgb"]

_REVERSED = (2, 1, 0)


def take_rgb(network: Network, pixels: Preprocessing, unchanged: Collection[Value]) -> tuple[Network, Preprocessing]:
    """Move the reversal of the channels from the preprocessing into the weights of the network, if it can be moved.

    Law: every weight has its value, at another place, and every sum its terms, in another order. In arithmetic without
    rounding the outputs are therefore equal.

    Args:
        network: The network.
        pixels: Its preprocessing.
        unchanged: Values that must keep the order of their channels: those that are read outside the network.

    Returns:
        The network that takes RGB, with its preprocessing; both arguments themselves if the preprocessing does not
        reverse the channels, or if a step has no rule for it.
    """
    if pixels.color != "bgr":
        return network, pixels
    reordered = _reorder_input(network, np.array(_REVERSED), unchanged)
    return (network, pixels) if reordered is None else (reordered, _in_rgb(pixels))


def _reorder_input(network: Network, order: Order, unchanged: Collection[Value]) -> Network | None:
    """Return the network for images of which channel i is channel `order[i]` of before; None if it cannot be changed.

    A layer that is called more than once is not changed, because its other calls need its weights as they are.
    """
    orders = {network.input: order}
    steps = []
    for step in network.steps:
        if orders.keys().isdisjoint(step.inputs):
            steps.append(step)
            continue
        result = reorder(step, orders)
        if result is None:
            return None
        changed, order_after = result
        if changed.operation is not step.operation and network.calls(step.operation) > 1:
            return None
        steps.append(changed)
        if order_after is not None:
            orders[step.outputs[0]] = order_after
    return network.with_steps(steps) if orders.keys().isdisjoint(unchanged) else None


def _in_rgb(pixels: Preprocessing) -> Preprocessing:
    operands = {name: getattr(pixels, name)[::-1] for name in ("scale", "mean", "std")}
    return pixels.model_copy(update={"color": "rgb", **operands})
