"""Default limits of image files, which the command line shows without importing an image library."""

from __future__ import annotations

__all__ = ["MAX_BYTES", "MAX_PIXELS"]

MAX_PIXELS = 64_000_000
"""Default limit of width times height; larger images are refused before they are decoded."""

MAX_BYTES = 256 * 1024 * 1024
"""Default limit of the size of a file; larger files are refused before they are read."""
