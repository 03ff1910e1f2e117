"""Search for the cheapest layers that must stay float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

__all__ = ["Search", "most_float_layers"]

_MOST_REMOVALS = 12
_FEWEST_PART = 16
_DEAR = 0.25
"""The share of the cost of all chosen layers from which on others are searched instead of one of them."""


def most_float_layers(layers: int) -> int:
    """Return how many layers may stay float32: with more than half of them, int8 would gain little."""
    return layers // 2


class Search:
    """A search for the cheapest layers that must stay float32.

    Args:
        errors: The error that each layer causes in int8; errors of different layers add up.
        costs: The cost of each layer in float32, in any unit.
        suffices: Returns whether the network is good enough with some layers in float32.
    """

    def __init__(
        self,
        errors: Mapping[str, float],
        costs: Mapping[str, float],
        suffices: Callable[[Sequence[str]], bool],
    ) -> None:
        order = sorted(errors, key=lambda layer: -errors[layer] / max(costs[layer], 1))
        self._order = tuple(order)
        self._costs = costs
        self._most = most_float_layers(len(order))
        self._suffices = suffices

    def cheapest(self) -> tuple[str, ...] | None:
        """Return the layers, those first that save most error for their cost; None if half of all are not enough.

        Their number is found by bisection, and then each of them is removed without which the others suffice. While one
        of four or more costs more than a quarter of all, cheaper layers are searched that suffice without it.
        """
        order = self._order
        best = self._first_of(order)
        while best and self._is_dear(dearest := max(best, key=self._costs.__getitem__), best):
            order = tuple(layer for layer in order if layer != dearest)
            others = self._first_of(order)
            if others is None or self._cost(others) >= self._cost(best):
                break
            best = others
        return best

    def _first_of(self, order: Sequence[str]) -> tuple[str, ...] | None:
        """Return the first layers of an order that suffice, but for the needless ones; None if half are not enough."""
        lowest, highest = 0, min(self._most, len(order))
        if not self._suffices(order[:highest]):
            return None
        while lowest < highest:
            middle = (lowest + highest) // 2
            if self._suffices(order[:middle]):
                highest = middle
            else:
                lowest = middle + 1
        return self._without_needless(tuple(order[:highest]))

    def _is_dear(self, layer: str, chosen: Sequence[str]) -> bool:
        return len(chosen) >= 1 / _DEAR and self._costs[layer] > self._cost(chosen) * _DEAR

    def _cost(self, layers: Sequence[str]) -> float:
        return sum(self._costs[layer] for layer in layers)

    def more(self, chosen: Sequence[str]) -> tuple[str, ...] | None:
        """Return twice as many layers, and at least a sixteenth of all; None if these are more than half of them."""
        number = max(2 * len(chosen), len(self._order) // _FEWEST_PART, 1)
        if number > self._most:
            return None
        others = [layer for layer in self._order if layer not in set(chosen)]
        return (*chosen, *others)[:number]

    def _without_needless(self, chosen: tuple[str, ...]) -> tuple[str, ...]:
        """Remove the layers that are not needed, the most expensive first.

        The last one is needed: the bisection has tried without it. Of many layers, the cheapest are not tried.
        """
        needed = chosen
        for layer in sorted(chosen[:-1], key=lambda each: -self._costs[each])[:_MOST_REMOVALS]:
            fewer = tuple(other for other in needed if other != layer)
            if self._suffices(fewer):
                needed = fewer
        return needed
