"""Measure in turn what is compared, so that all of it meets the same machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median

from bench.settings import Settings

__all__ = ["Rates", "image_rates", "take_turns"]

Turn = Callable[[], float]


class Rates:
    """What each round measured of each name: a rate, or another number that is better the higher it is."""

    def __init__(self, rounds: list[dict[str, float]]) -> None:
        self._rounds = rounds

    def median(self, name: str) -> float:
        """Return the median over the rounds."""
        return median(each[name] for each in self._rounds)

    def ratio(self, name: str, baseline: str) -> float:
        """Return the median of the ratios within a round, in which both met the same machine."""
        return median(each[name] / each[baseline] for each in self._rounds)

    def all(self, name: str) -> list[float]:
        """Return the value of every round."""
        return [each[name] for each in self._rounds]


def take_turns(turns: Mapping[str, Turn], rounds: int) -> Rates:
    """Give each its turn in every round, every second round in the opposite order.

    Args:
        turns: Each returns what it measured, by name.
        rounds: The number of rounds that count; one before them is a warm-up.
    """
    measured = []
    for number in range(rounds + 1):
        order = list(turns)[:: -1 if number % 2 else 1]
        values = {name: turns[name]() for name in order}
        if number:
            measured.append(values)
    return Rates(measured)


def image_rates(runs: Mapping[str, Callable[[], object]], images: int, settings: Settings) -> Rates:
    """Return the images per second of functions that classify so many images in a call."""
    turns = {name: partial(_rate, run, images, settings.seconds) for name, run in runs.items()}
    return take_turns(turns, settings.rounds)


def _rate(run: Callable[[], object], images: int, seconds: float) -> float:
    """Return the images per second of calls in a row, after one that is not measured."""
    run()
    calls = 0
    began = time.perf_counter()
    while (taken := time.perf_counter() - began) < seconds:
        run()
        calls += 1
    return images * calls / taken
