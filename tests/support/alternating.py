"""Two ways to ask a server, side by side: they take turns, so that a busy moment of the machine meets both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median

__all__ = ["Ask", "AsyncAsk", "alternate", "async_alternate", "async_requests_per_second", "rate"]

Ask = Callable[[], object]
AsyncAsk = Callable[[], Awaitable[object]]
Medians = tuple[float, float, float]

_WARM_UP = 30


def alternate(one: Ask, other: Ask, times: int) -> Medians:
    """Medians of the seconds of two kinds of request, and of by how much the other takes longer."""
    for _ in range(min(_WARM_UP, times)):
        one()
        other()
    pairs = []
    for number in range(times):
        if number % 2:
            pairs.append((_timed(one), _timed(other)))
        else:
            pairs.append((_timed(other), _timed(one))[::-1])
    return _compared(pairs)


async def async_alternate(one: AsyncAsk, other: AsyncAsk, times: int) -> Medians:
    """The same on an event loop."""
    for _ in range(min(_WARM_UP, times)):
        await one()
        await other()
    pairs = []
    for number in range(times):
        if number % 2:
            pairs.append((await _async_timed(one), await _async_timed(other)))
        else:
            pairs.append((await _async_timed(other), await _async_timed(one))[::-1])
    return _compared(pairs)


def rate(ask: Ask, at_once: int, seconds: float) -> float:
    """Requests a second of so many threads."""
    began = time.perf_counter()

    def work(_: object) -> int:
        count = 0
        while time.perf_counter() < began + seconds:
            ask()
            count += 1
        return count

    with ThreadPoolExecutor(at_once) as pool:
        count = sum(pool.map(work, range(at_once)))
    return count / (time.perf_counter() - began)


async def async_requests_per_second(ask: AsyncAsk, at_once: int, seconds: float) -> float:
    """Requests a second of so many tasks."""
    began = time.perf_counter()

    async def work() -> int:
        count = 0
        while time.perf_counter() < began + seconds:
            await ask()
            count += 1
        return count

    count = sum(await asyncio.gather(*(work() for _ in range(at_once))))
    return count / (time.perf_counter() - began)


def _timed(ask: Ask) -> float:
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began


async def _async_timed(ask: AsyncAsk) -> float:
    began = time.perf_counter()
    await ask()
    return time.perf_counter() - began


def _compared(pairs: Sequence[tuple[float, float]]) -> Medians:
    return (median(p[0] for p in pairs), median(p[1] for p in pairs), median(p[1] - p[0] for p in pairs))
