"""The memory of the images that the threads of a process decode at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["DECODING", "DECODING_BYTES", "DecodingMemory"]

DECODING_BYTES = 256 * 1024 * 1024
"""Memory that the images which a process decodes may use together, in bytes."""


class DecodingMemory:
    """A limit that threads share: an image waits until it fits, or no other image is being decoded.

    Args:
        limit: In bytes. A single image may exceed it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Use so many bytes in the block; wait for them first."""
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + size <= self._limit)
            self._used += size
        try:
            yield
        finally:
            with self._changed:
                self._used -= size
                self._changed.notify_all()


DECODING = DecodingMemory(DECODING_BYTES)
"""The limit of this process."""
