"""Recognize an image by the first bytes of its file, without the decoders."""

from __future__ import annotations

import re

__all__ = ["SIGNATURE_LENGTH", "image_kind"]

SIGNATURE_LENGTH = 64
"""How many bytes `image_kind` needs."""

_STARTS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"MM*\0", b"II\0*"), "TIFF"),
    b"\0\0\0\x0cJXL \r\n\x87\n": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"8BPS": "Photoshop",
}
_PORTABLE = re.compile(rb"P[1-6y]\s+[#\d]|P[fF]\s+[#\d]")
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # sizes of the header that follows the one of the file
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})


def image_kind(start: bytes) -> str | None:
    """Return the format of an image, such as `JPEG`, supported or not, or None for a file of other content.

    Args:
        start: The first `SIGNATURE_LENGTH` bytes of the file, or all of a shorter one.
    """
    for signature, kind in _STARTS.items():
        if start.startswith(signature):
            return kind
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[:2] == b"BM" and int.from_bytes(start[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if _PORTABLE.match(start):
        return "PPM"
    return _kind_of_box(start) if start[4:8] == b"ftyp" else None


def _kind_of_box(start: bytes) -> str | None:
    """Return the format of an ISO base media file; videos are of the same family, and no images.

    Source: ISO/IEC 14496-12, section 4.3 (the brands) and 23008-12, annex B; AV1 Image File Format, section 6.
    """
    length = int.from_bytes(start[:4], "big")
    brands = {start[8:12], *(start[at : at + 4] for at in range(16, min(length, len(start)), 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & _HEIC_BRANDS else None
