"""Flushing of files to the disk, which only matters for a power failure."""

from __future__ import annotations

import os

__all__ = ["skip_flushing"]


def skip_flushing() -> None:
    """Make `os.fsync` of this process do nothing. `test_disk.py` checks that it is called where necessary."""
    vars(os)["fsync"] = lambda _descriptor: None
