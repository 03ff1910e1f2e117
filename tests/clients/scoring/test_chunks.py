"""Chunks contain all items in order, and few at first."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import pytest
from support.client_models import model_of
from support.toy import toy_contract

from camserve.clients import Crops
from camserve.clients.scoring.chunks import chunk_limit, chunks
from camserve.clients.scoring.items import Item, item_of_file
from camserve.clients.scoring.row_options import RowOptions


@dataclass(frozen=True)
class Carried:
    data: bytes

    def read(self, max_bytes: int) -> bytes:
        return self.data


@pytest.mark.parametrize("count", [0, 1, 40, 1000])
def test_chunks_contain_all_items_in_order(count: int) -> None:
    items = [item_of_file(str(number)) for number in range(count)]
    divided = list(chunks(items, 8))
    assert list(chain.from_iterable(divided)) == items
    assert max(map(len, divided), default=0) <= min(8, max(1, count // 16))


def test_items_that_contain_large_images_are_in_small_chunks() -> None:
    items = [Item(str(number), str(number), Carried(bytes(3_000_000))) for number in range(300)]
    assert max(len(chunk) for chunk in chunks(items, 64)) == 3


@pytest.mark.parametrize(("max_batch_size", "expected"), [(1, 8), (3, 9), (8, 8), (48, 48), (1024, 64), (0, 64)])
def test_chunks_are_as_wide_as_requests(max_batch_size: int, expected: int) -> None:
    model = model_of(toy_contract(), max_batch_size=max_batch_size)
    assert chunk_limit(model, RowOptions()) == expected
    assert chunk_limit(model, RowOptions(crops=Crops(count=5))) == 8
