"""A closed loop, in a process of its own: a number of requests is always pending, whatever server is asked."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from types import TracebackType
from typing import Any

import numpy as np

from bench.peers.calls import Call, Target, connect

__all__ = ["ClosedLoop", "Sent"]

TIMEOUT = 60.0
"""Seconds until a request is given up."""


@dataclass
class Sent:
    """What was sent in a turn.

    Attributes:
        seconds: From the first request until the last answer.
        latencies: Of each answered request, in seconds, in the order of the answers.
        settling: How many of these belong to requests that were sent when fewer were pending.
        errors: Number of failed requests, and of wrong answers, by reason.
        processor: Seconds of processor time that the client took.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    settling: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    processor: float = 0.0

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds

    @property
    def settled(self) -> list[float]:
        """The latencies of requests that were sent while the others were pending, if there are any."""
        return self.latencies[self.settling :] or self.latencies


class ClosedLoop:
    """A process that sends requests; it is started once, and ends with the context."""

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def __enter__(self) -> ClosedLoop:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def ask(self, target: Target, images: Any) -> Any:
        """Return the logits `[N, classes]` of images `[N, H, W, C]`, each sent alone, one after the other."""
        return self._pool.submit(_ask, target, images).result()

    def send(self, target: Target, images: Any, expected: Any, concurrency: int, seconds: float) -> Sent:
        """Keep so many requests pending for so many seconds, and wait for the last answer.

        Args:
            target: The served model.
            images: `[N, H, W, C]`, sent in turn, one in a request.
            expected: The logits `[N, classes]`, which answers must equal.
            concurrency: The number of pending requests.
            seconds: How long new ones are sent.
        """
        return self._pool.submit(_send, target, images, expected, concurrency, seconds).result()


def _ask(target: Target, images: Any) -> Any:
    async def ask() -> Any:
        (call,) = connect(target, 1)
        try:
            requests = [call.encode(image[None]) for image in images]
            return np.stack([await asyncio.wait_for(call.send(request), TIMEOUT) for request in requests])
        finally:
            await call.close()

    return asyncio.run(ask())


def _send(target: Target, images: Any, expected: Any, concurrency: int, seconds: float) -> Sent:
    return asyncio.run(_run(target, images, expected, concurrency, seconds))


async def _run(target: Target, images: Any, expected: Any, concurrency: int, seconds: float) -> Sent:
    calls = connect(target, concurrency)
    requests = [calls[0].encode(image[None]) for image in images]
    sent = Sent(settling=concurrency)
    tolerance = 1e-3 * float(np.abs(expected).max())
    used, began = time.process_time(), time.perf_counter()

    async def keep_one_pending(call: Call, number: int) -> None:
        while (started := time.perf_counter()) < began + seconds:
            number = (number + 1) % len(requests)
            try:
                logits = await asyncio.wait_for(call.send(requests[number]), TIMEOUT)
            except Exception as error:  # noqa: BLE001 - whatever a server answers is counted
                sent.errors[f"{type(error).__name__}: {error}"[:200]] += 1
                await asyncio.sleep(0.01)
                continue
            if abs(logits - expected[number]).max() <= tolerance:
                sent.latencies.append(time.perf_counter() - started)
            else:
                sent.errors["wrong logits"] += 1

    await asyncio.gather(*(keep_one_pending(call, number) for number, call in enumerate(calls)))
    sent.seconds, sent.processor = time.perf_counter() - began, time.process_time() - used
    for call in set(calls):
        await call.close()
    return sent
