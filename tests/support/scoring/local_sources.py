"""Sources of images that only the process that made them can read."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from camserve.errors import ImageError

__all__ = ["LocalSource"]


@dataclass(frozen=True)
class LocalSource:
    """A file that other processes do not see, like those of other hosts."""

    path: str
    process: int = field(default_factory=os.getpid)

    def read(self, max_bytes: int) -> bytes:
        if os.getpid() != self.process:
            raise ImageError(f"{self.path} does not exist")
        return Path(self.path).read_bytes()
