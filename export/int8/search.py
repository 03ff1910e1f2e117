"""Choose the fewest layers that must stay float32 so that the gate accepts an int8 network."""

from __future__ import annotations

from collections.abc import Sequence

from camserve.export.int8.network import Int8Network
from camserve.export.int8.probe import Probe
from camserve.export.int8.sensitivity import LayerEffect
from camserve.export.int8.session import open_variant
from camserve.progress import Progress
from camserve.text import count

__all__ = ["Search", "most_float_layers"]

_MOST_REMOVALS = 12


def most_float_layers(layers: int) -> int:
    """Return how many layers may stay float32: with more than half of them, int8 would gain little."""
    return layers // 2


class Search:
    """A search for the layers that stay float32, on images that calibrated int8.

    Args:
        network: The network.
        effects: The effect of each layer, the most harmful first.
        probe: The images, with Keras's answers.
        progress: Called with what is tried.
    """

    def __init__(
        self,
        network: Int8Network,
        effects: Sequence[LayerEffect],
        probe: Probe,
        progress: Progress,
    ) -> None:
        self._network = network
        self._order = [each.layer for each in effects]
        self._probe = probe
        self._progress = progress

    def fewest(self) -> tuple[str, ...] | None:
        """Return the fewest layers, the most harmful first; None if half of the layers are not enough.

        The most harmful layers are added until the metrics are met with a margin, by bisection, and then each is
        removed again without which they still are.
        """
        lowest, highest = 0, most_float_layers(len(self._order))
        if not self._suffices(self._order[:highest]):
            return None
        while lowest < highest:
            middle = (lowest + highest) // 2
            if self._suffices(self._order[:middle]):
                highest = middle
            else:
                lowest = middle + 1
        return self._without_needless(self._order[:highest])

    def more(self, chosen: Sequence[str]) -> tuple[str, ...] | None:
        """Return twice as many layers, at least one; None if these are more than half of all layers."""
        number = max(1, 2 * len(chosen))
        if number > most_float_layers(len(self._order)):
            return None
        others = [layer for layer in self._order if layer not in set(chosen)]
        return (*chosen, *others)[:number]

    def _without_needless(self, chosen: Sequence[str]) -> tuple[str, ...]:
        needed = list(chosen)
        for layer in list(chosen)[:-1][-_MOST_REMOVALS:][::-1]:  # without the last one, the bisection has failed
            fewer = [other for other in needed if other != layer]
            if self._suffices(fewer):
                needed = fewer
        return tuple(needed)

    def _suffices(self, float_layers: Sequence[str]) -> bool:
        total = count(len(self._order), "layer")
        self._progress(f"try int8 with {len(float_layers)} of {total} in float32")
        return not self._probe.failing(open_variant(self._network.quantized(float_layers)))
