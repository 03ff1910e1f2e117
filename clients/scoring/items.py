"""An image to score: its names, and where its bytes are. Items are small and can be sent to other processes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from camserve.clients.scoring.rows import ScoredRow
from camserve.images.files import read_bytes

__all__ = ["FileSource", "Item", "Source", "item_of_file"]


class Source(Protocol):
    """Where the bytes of an image are. It can be pickled."""

    def read(self, max_bytes: int) -> bytes:
        """Read the bytes of the image file.

        Raises:
            ImageError: If they cannot be read, are empty, or are more than `max_bytes`.
        """


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file of this host."""

    path: str

    def __reduce__(self) -> tuple[type[FileSource], tuple[str]]:
        return FileSource, (self.path,)  # in a third of the time that dataclasses need

    def read(self, max_bytes: int) -> bytes:
        """Read the file."""
        return read_bytes(self.path, max_bytes)[0]


@dataclass(frozen=True, slots=True)
class Item:
    """One image to score.

    Attributes:
        path: See `ScoredRow.path`; error messages name the image by it.
        id: See `ScoredRow.id`.
        source: Where its bytes are.
        recorded: The row of an interrupted run, which is the result if the image has the same checksum.
    """

    path: str
    id: str
    source: Source = field(repr=False)
    recorded: ScoredRow | None = field(default=None, repr=False)

    def __reduce__(self) -> tuple[type[Item], tuple[str, str, Source, ScoredRow | None]]:
        return Item, (self.path, self.id, self.source, self.recorded)

    @property
    def carried_bytes(self) -> int:
        """Size of the image file if the source contains it, else 0."""
        data = getattr(self.source, "data", None)
        return len(data) if isinstance(data, bytes) else 0

    def with_record(self, row: ScoredRow) -> Item:
        """Return the item with the row of an interrupted run."""
        return replace(self, recorded=row)


def item_of_file(path: str | Path, id_: str | None = None) -> Item:
    """Return the item of a file of this host."""
    return Item(str(path), str(path) if id_ is None else id_, FileSource(str(path)))
