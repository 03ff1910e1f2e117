"""The extensions of image files, without the decoders behind them."""

from __future__ import annotations

__all__ = ["EXTENSIONS", "RAW_EXTENSIONS"]

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm"}
    | {".heic", ".heif", ".avif"}
)
"""Extensions, in lower case, of files that are images by name; upper case counts as well."""

RAW_EXTENSIONS = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".iiq", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".srw"}
)
"""Extensions, in lower case, of raw photos. Most begin like TIFF files, of which decoders read the thumbnail."""
