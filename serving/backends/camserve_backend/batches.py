"""Concatenation of the inputs of several requests into one batch, and splitting of the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

__all__ = ["BatchBuffer", "split"]


class BatchBuffer:
    """Concatenates arrays along the batch axis, into memory that is reused.

    A batch of images takes megabytes, and newly allocated memory costs page faults for each batch. The next call
    overwrites the result of the previous one.
    """

    def __init__(self) -> None:
        self._buffer: Any = None

    def concatenate(self, parts: Sequence[Any]) -> Any:
        """Concatenate arrays; a single array is returned unchanged.

        Raises:
            ValueError: If they differ in dtype, or in shape apart from the batch axis.
        """
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        if any(part.dtype != first.dtype for part in parts):
            raise ValueError("the requests of one batch differ in dtype")
        rows = sum(part.shape[0] for part in parts)
        buffer = self._reserve(rows, first)
        return np.concatenate(parts, out=buffer[:rows])

    def _reserve(self, rows: int, like: Any) -> Any:
        buffer = self._buffer
        fits = buffer is not None and buffer.dtype == like.dtype and buffer.shape[1:] == like.shape[1:]
        if not fits or buffer.shape[0] < rows:
            self._buffer = np.empty((rows, *like.shape[1:]), like.dtype)
        return self._buffer


def split(output: Any, counts: Sequence[int]) -> list[Any]:
    """Split an output by request, as views.

    Args:
        output: The output of the batch, batch first.
        counts: Number of images of each request.

    Raises:
        ValueError: If the output has another number of rows than the requests.
    """
    if output.shape[:1] != (sum(counts),):
        raise ValueError(f"an output has shape {output.shape} for a batch of {sum(counts)}")
    ends = list(accumulate(counts))
    return [output[end - count : end] for end, count in zip(ends, counts, strict=True)]
