"""The extensions of image files, without the decoders behind them."""

from __future__ import annotations

__all__ = ["EXTENSIONS"]

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm"}
    | {".heic", ".heif", ".avif"}
)
"""Extensions, in lower case, of files that are images by name; upper case counts as well."""
