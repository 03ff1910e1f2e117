"""The server, the images and the expected table of all parts, and the rows that they print."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from support.scoring.faults.programs import require, run
from support.scoring_faults import RecordWatch, draw_images

from camserve.serving import TritonServer

__all__ = ["MODEL", "Row", "Setting"]

MODEL = ("--model", "toy")


@dataclass(frozen=True)
class Row:
    """A row of the printed table."""

    fault: str
    repetitions: str
    result: str


class Setting:
    """The server, the images and the tables of a calm run.

    Args:
        folder: Temporary folder.
        quick: Whether to take a tenth of the counts.
        server: The server.
        repository: Its model repository.
    """

    def __init__(self, folder: Path, server: TritonServer, repository: Path, *, quick: bool) -> None:
        self.folder, self.repository, self._quick = folder, repository, quick
        self.server = server
        self.words = (*MODEL, "--url", server.grpc_url)

    def times(self, count: int) -> int:
        """Return a count, or a tenth of it."""
        return max(1, count // 10) if self._quick else count

    @cached_property
    def photos(self) -> list[Path]:
        """Folders with 10,000 images in total."""
        return sorted(draw_images(self.folder / "photos", self.times(10_000)).iterdir())

    @cached_property
    def files(self) -> list[Path]:
        """These images."""
        return [path for folder in self.photos for path in sorted(folder.iterdir())]

    @cached_property
    def calm(self) -> bytes:
        """The table of these images."""
        table = self.folder / "calm.csv"
        run(*self.photos, *self.words, "--output", table)
        return table.read_bytes()

    def expect_calm(self, table: Path) -> None:
        """Check that a table is that of the calm run, and remove it."""
        require(table.read_bytes() == self.calm, f"{table} differs from the table of a calm run")
        require(not RecordWatch(table).path.exists(), f"the record of {table} was not removed")
        table.unlink()
