"""The parts, in the order in which they are measured, each in a process of its own."""

from __future__ import annotations

import importlib
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from bench.settings import Settings
from bench.tables import Table

__all__ = ["PARTS", "Measured", "measure_part"]

PARTS: tuple[str, ...] = ("served", "limit")


@dataclass(frozen=True)
class Measured:
    """What a part measured, and how long it took in seconds."""

    part: str
    tables: list[Table]
    seconds: float


def measure_part(part: str, settings: Settings) -> Measured:
    """Run a part in a new process, whose threads and memory end with it."""
    began = time.monotonic()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        tables = pool.submit(_measure, part, settings).result()
    return Measured(part, tables, time.monotonic() - began)


def _measure(part: str, settings: Settings) -> list[Table]:
    tables: list[Table] = importlib.import_module(f"bench.{part}").measure(settings)
    return tables
