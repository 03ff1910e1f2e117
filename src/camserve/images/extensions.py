"""The extensions of image files, without the decoders behind them."""

from __future__ import annotations

__all__ = ["EXTENSIONS"]

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm"}
)
"""Extensions, in lower case, of the files that are found in folders; upper case counts as well."""
