"""Compare two kinds of request that alternate, so that load on the machine affects both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median

__all__ = ["AsyncCall", "Call", "alternate", "async_alternate", "async_requests_per_second", "rate"]

Call = Callable[[], object]
AsyncCall = Callable[[], Awaitable[object]]
Medians = tuple[float, float, float]

_WARM_UP = 30


def alternate(first: Call, second: Call, times: int) -> Medians:
    """Return the median durations of two kinds of request, and of their difference, in seconds."""
    for _ in range(min(_WARM_UP, times)):
        first()
        second()
    pairs = []
    for number in range(times):
        if number % 2:
            pairs.append((_timed(first), _timed(second)))
        else:
            pairs.append((_timed(second), _timed(first))[::-1])
    return _compared(pairs)


async def async_alternate(first: AsyncCall, second: AsyncCall, times: int) -> Medians:
    """Do the same on an event loop."""
    for _ in range(min(_WARM_UP, times)):
        await first()
        await second()
    pairs = []
    for number in range(times):
        if number % 2:
            pairs.append((await _async_timed(first), await _async_timed(second)))
        else:
            pairs.append((await _async_timed(second), await _async_timed(first))[::-1])
    return _compared(pairs)


def rate(call: Call, concurrency: int, seconds: float) -> float:
    """Return the requests per second of so many threads."""
    began = time.perf_counter()

    def work(_: object) -> int:
        count = 0
        while time.perf_counter() < began + seconds:
            call()
            count += 1
        return count

    with ThreadPoolExecutor(concurrency) as pool:
        count = sum(pool.map(work, range(concurrency)))
    return count / (time.perf_counter() - began)


async def async_requests_per_second(call: AsyncCall, concurrency: int, seconds: float) -> float:
    """Return the requests per second of so many tasks."""
    began = time.perf_counter()

    async def work() -> int:
        count = 0
        while time.perf_counter() < began + seconds:
            await call()
            count += 1
        return count

    count = sum(await asyncio.gather(*(work() for _ in range(concurrency))))
    return count / (time.perf_counter() - began)


def _timed(call: Call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


async def _async_timed(call: AsyncCall) -> float:
    began = time.perf_counter()
    await call()
    return time.perf_counter() - began


def _compared(pairs: Sequence[tuple[float, float]]) -> Medians:
    return (median(p[0] for p in pairs), median(p[1] for p in pairs), median(p[1] - p[0] for p in pairs))
