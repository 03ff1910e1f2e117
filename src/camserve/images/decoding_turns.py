"""Whether the threads of a process decode images at once, or in turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

__all__ = ["TURNS", "DecodingTurns"]


class DecodingTurns:
    """Lets the threads of a process decode at once, until `take_turns` is called."""

    def __init__(self) -> None:
        self._turn: AbstractContextManager[Any] = nullcontext()

    def take_turns(self) -> None:
        """Let one thread decode at a time from now on, because other processes use the other cores.

        The threads overlap decoding with the wait for a server. More of them would only move each other's pixels out of
        the cache.
        """
        self._turn = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[float]:
        """Decode in the block; yield the seconds that the thread waited for its turn."""
        began = time.perf_counter()
        with self._turn:
            yield time.perf_counter() - began


TURNS = DecodingTurns()
"""Those of this process."""
