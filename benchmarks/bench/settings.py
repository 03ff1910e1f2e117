"""How long the benchmark measures, and where it keeps what it makes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """What the parts share.

    Attributes:
        folder: Networks, environments and results are kept in it, so that the next run uses them again.
        cores: The number of cores that everything is measured with; runtimes and servers get as many threads.
        quick: Whether a rough result is enough: fewer rounds, shorter turns, fewer points and networks.
    """

    folder: Path
    cores: int
    quick: bool

    @property
    def rounds(self) -> int:
        """The number of measured rounds; in each, everything that is compared has one turn."""
        return 2 if self.quick else 5

    @property
    def seconds(self) -> float:
        """The least duration of a turn in seconds."""
        return 0.3 if self.quick else 1.0
