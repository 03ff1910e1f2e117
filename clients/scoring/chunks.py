"""Divide items into chunks, each of which is one request where possible."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from camserve.clients.answers.served_model import Model
from camserve.clients.scoring.items import Item
from camserve.clients.scoring.row_options import RowOptions
from camserve.tensors import DATA_TYPES

__all__ = ["chunk_limit", "chunks"]

_MOST_ITEMS, _FEWEST_ITEMS = 64, 8
_MOST_TENSOR_BYTES = 16 * 1024 * 1024
_MOST_CARRIED_BYTES = 8 * 1024 * 1024
"""Limit of the bytes of images that the items of a chunk contain themselves, as those from a table do."""

_SHARE = 16
"""A chunk has at most this part of the items before it, so that also a short run has work for many workers."""


def chunk_limit(model: Model, options: RowOptions) -> int:
    """Return the most items of a chunk: those of the largest request, within limits of memory and overhead."""
    if options.crops is not None:  # each image is a request of its own
        return _FEWEST_ITEMS
    spec = model.contract.input
    image = math.prod(spec.shape) * np.dtype(DATA_TYPES[spec.dtype].numpy).itemsize
    request = max(1, min(model.max_batch_size or _MOST_ITEMS, _MOST_ITEMS, _MOST_TENSOR_BYTES // image))
    return request * -(-_FEWEST_ITEMS // request)


def chunks(items: Iterable[Item], limit: int) -> Iterator[list[Item]]:
    """Divide items into lists of at most `limit`, which are short at first.

    The sizes depend on nothing but the items, so that the number of workers does not change which images share a
    request. Law: `list(chain.from_iterable(chunks(x, n))) == list(x)`.
    """
    chunk: list[Item] = []
    done = carried = 0
    for item in items:
        chunk.append(item)
        carried += item.carried_bytes
        if len(chunk) >= min(limit, done // _SHARE) or carried >= _MOST_CARRIED_BYTES:
            yield chunk
            done += len(chunk)
            chunk, carried = [], 0
    if chunk:
        yield chunk
