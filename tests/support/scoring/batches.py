"""Images, and the rows that batches of them become."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from camserve.clients import ScoredRow
from camserve.clients.scoring.cluster import process_scorer
from camserve.clients.tables.columns import Columns

__all__ = ["cells_of", "closed_scorers", "mixed_files"]


def mixed_files(folder: Path, images: int) -> list[str]:
    """Write images, and return their paths with those of a damaged and a missing file among them."""
    paths = []
    for number in range(images):
        path = folder / f"{number:04}.png"
        pixels = np.random.default_rng(number).integers(0, 256, (9, 11, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        paths.append(str(path))
    damaged = folder / "damaged.png"
    damaged.write_bytes(Path(paths[0]).read_bytes()[:60])
    return [*paths[:7], str(damaged), str(folder / "missing.png"), *paths[7:]]


def cells_of(row: ScoredRow, id_: str, *, top: int = 2) -> dict[str, Any]:
    """Return the cells of a row by column, as a table has them, with probabilities in float32."""
    columns = Columns(top)
    cells = dict(zip(columns.names, columns.cells(row), strict=True))
    for name, cell in cells.items():
        if isinstance(cell, float):
            cells[name] = float(np.float32(cell))
    return {**cells, "id": id_}


@contextmanager
def closed_scorers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what this process opens for scorers in the block, which it would keep until it ends."""
    opened: dict[Any, Any] = {}
    monkeypatch.setattr(process_scorer, "_opened", opened)
    try:
        yield
    finally:
        for each in opened.values():
            each.close()
            each.pool.shutdown()
