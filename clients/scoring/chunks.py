"""Divide items into chunks, each of which is one request where possible."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

import numpy as np

from camserve.clients.answers.served_model import Model
from camserve.clients.scoring.row_options import RowOptions
from camserve.tensors import DATA_TYPES

__all__ = ["chunk_limit", "chunks"]

T = TypeVar("T")

_MOST_ITEMS = 64
_MOST_TENSOR_BYTES = 32 * 1024 * 1024
_SHARE = 16
"""A chunk has at most this part of the items before it, so that also a short run has work for many workers."""


def chunk_limit(model: Model, options: RowOptions) -> int:
    """Return the most items of a chunk: those of the largest request, within a limit of memory."""
    if options.crops is not None:  # each image is a request of its own
        return 8
    spec = model.contract.input
    image = math.prod(spec.shape) * np.dtype(DATA_TYPES[spec.dtype].numpy).itemsize
    return max(1, min(model.max_batch_size or _MOST_ITEMS, _MOST_ITEMS, _MOST_TENSOR_BYTES // image))


def chunks(items: Iterable[T], limit: int) -> Iterator[list[T]]:
    """Divide items into lists of at most `limit`, which are short at first.

    The sizes depend on nothing else, so that the number of workers does not change which images share a request.
    Law: `list(chain.from_iterable(chunks(x, n))) == list(x)`.
    """
    iterator = iter(items)
    done = 0
    while chunk := list(islice(iterator, min(limit, max(1, done // _SHARE)))):
        yield chunk
        done += len(chunk)
