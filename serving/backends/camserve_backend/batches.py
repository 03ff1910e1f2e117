"""Concatenation of the inputs of several requests into one batch, and splitting of the outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

__all__ = ["BatchJoiner", "split"]


class BatchJoiner:
    """Joins the inputs of several requests into one batch, in memory that is reused.

    A batch of images takes megabytes, and newly allocated memory costs page faults for each batch. The next call
    overwrites the result of the previous one.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, Any] = {}

    def join(self, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Join inputs along the batch axis; those of a single request are returned unchanged.

        Args:
            parts: The inputs of each request by name.

        Raises:
            ValueError: If they differ in dtype, or in shape apart from the batch axis.
        """
        if len(parts) == 1:
            return parts[0]
        return {name: self._join(name, [part[name] for part in parts]) for name in parts[0]}

    def _join(self, name: str, parts: Sequence[Any]) -> Any:
        first = parts[0]
        if any(part.dtype != first.dtype for part in parts):
            raise ValueError("the requests of one batch differ in dtype")
        rows = sum(part.shape[0] for part in parts)
        return np.concatenate(parts, out=self._reserve(name, rows, first)[:rows])

    def _reserve(self, name: str, rows: int, like: Any) -> Any:
        buffer: Any = self._buffers.get(name)
        fits = buffer is not None and buffer.dtype == like.dtype and buffer.shape[1:] == like.shape[1:]
        if not fits or buffer.shape[0] < rows:
            self._buffers[name] = np.empty((rows, *like.shape[1:]), like.dtype)
        return self._buffers[name]


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
