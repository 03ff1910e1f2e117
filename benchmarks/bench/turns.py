"""Measure in turn what is compared, so that all of it meets the same machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from statistics import median
from typing import Generic, TypeVar

from bench.settings import Settings

__all__ = ["Rates", "Turn", "images_per_second", "take_turns"]

Turn = Callable[[], float]
"""Measure something once, and return a rate: the higher, the better."""

Name = TypeVar("Name", bound=Hashable)


class Rates(Generic[Name]):
    """What each round measured, by name."""

    def __init__(self, rounds: list[dict[Name, float]]) -> None:
        self._rounds = rounds

    def median(self, name: Name) -> float:
        """Return the median over the rounds."""
        return median(each[name] for each in self._rounds)

    def highest(self, name: Name) -> float:
        """Return the highest value of a round."""
        return max(each[name] for each in self._rounds)

    def ratio(self, name: Name, baseline: Name) -> float:
        """Return the median of the ratios within a round, in which both met the same machine."""
        return median(each[name] / each[baseline] for each in self._rounds)


def take_turns(turns: Mapping[Name, Turn], rounds: int) -> Rates[Name]:
    """Give each its turn in every round, every second round in the opposite order.

    Args:
        turns: What to measure, by name.
        rounds: The number of rounds that count; one before them is a warm-up.
    """
    measured = []
    for number in range(rounds + 1):
        order = list(turns)[:: -1 if number % 2 else 1]
        values = {name: turns[name]() for name in order}
        if number:
            measured.append(values)
    return Rates(measured)


def images_per_second(run: Callable[[], object], images: int, settings: Settings) -> Turn:
    """Return a turn that calls a function, which classifies so many images, for the duration of a turn."""
    return partial(_rate, run, images, settings.seconds)


def _rate(run: Callable[[], object], images: int, seconds: float) -> float:
    """Return the images per second of calls in a row, after one that is not measured."""
    run()
    calls, taken = 0, 0.0
    began = time.perf_counter()
    while taken < seconds:
        run()
        calls += 1
        taken = time.perf_counter() - began
    return images * calls / taken
