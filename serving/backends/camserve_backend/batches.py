"""The inputs of several requests joined into one batch, and the outputs of the batch split among them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

__all__ = ["Joiner", "split"]


class Joiner:
    """Joins arrays along their first axis, into memory that it keeps.

    A batch of images is megabytes: fresh memory for each would be paid for in page faults, every time anew. What
    `join` returned before is overwritten by the next call.
    """

    def __init__(self) -> None:
        self._buffer: Any = None

    def join(self, parts: Sequence[Any]) -> Any:
        """The arrays as one; a single one is handed back as it is.

        Raises:
            ValueError: If they differ in type, or in shape beyond the first axis.
        """
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        if any(part.dtype != first.dtype for part in parts):
            raise ValueError("the requests of one batch differ in type")
        rows = sum(part.shape[0] for part in parts)
        buffer = self._room(rows, first)
        return np.concatenate(parts, out=buffer[:rows])

    def _room(self, rows: int, like: Any) -> Any:
        kept = self._buffer
        fits = kept is not None and kept.dtype == like.dtype and kept.shape[1:] == like.shape[1:]
        if not fits or kept.shape[0] < rows:
            self._buffer = np.empty((rows, *like.shape[1:]), like.dtype)
        return self._buffer


def split(output: Any, counts: Sequence[int]) -> list[Any]:
    """The rows of an output by request: views, nothing is copied.

    Args:
        output: Of the whole batch.
        counts: Rows of each request.

    Raises:
        ValueError: If the output has another number of rows than the requests.
    """
    if output.shape[:1] != (sum(counts),):
        raise ValueError(f"an output has {output.shape[:1]} rows for a batch of {sum(counts)}")
    ends = list(accumulate(counts))
    return [output[end - count : end] for end, count in zip(ends, counts, strict=True)]
