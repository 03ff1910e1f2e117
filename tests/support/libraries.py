"""Shared libraries that cannot be loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = ["library_that_requires"]


def library_that_requires(folder: Path, *, name: str = "libexample.so") -> tuple[Path, str]:
    """Write a shared library that requires one that does not exist, and return both: its path and the missing name."""
    present, absent = b"libc.so.6", b"libx.so.6"
    modules = sorted(Path(np.__file__).parent.rglob("*.so"), key=lambda path: path.stat().st_size)
    content = next(content for path in modules if present in (content := path.read_bytes()))
    library = folder / name
    library.write_bytes(content.replace(present, absent))
    return library, absent.decode()
