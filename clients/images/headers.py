"""What a file claims of itself before it is decoded, and whether that can be true.

A few bytes can claim an image of gigabytes, and decoders believe them: they make room, and where the data ends early
they fill up with gray or black, often without a word. What is found here is refused before any pixel is decoded.
"""

from __future__ import annotations

import re
import struct

from PIL import Image, TiffImagePlugin

from camserve.errors import ImageError

__all__ = ["canvas_of_webp", "check_claims", "check_size"]

_TILE_WIDTH, _TILE_LENGTH = 322, 323  # tags of TIFF
_PLANAR_CONFIGURATION, _SEPARATE = 284, 2

_PIXELS_PER_BYTE = {"JPEG": 1024, "MPO": 1024}
"""Huffman coding spends a bit at least on each block of 8 x 8 samples, and the unit with the fewest for its 32 x 32
pixels has eight: one component of four across, one of four down (ITU-T T.81, A.2 and F.1)."""

_PIXELS_PER_BYTE_OF_OTHERS = 10_000
"""Deflate ends at 8,256, at one bit a pixel. The others have no such bound, but beyond it lie only plain areas."""

_PLAIN = 4_000_000
"""A plain area of so many pixels may be coded in however few bytes, but for JPEG."""

_MOST_SCANS = 100
"""Encoders write about ten; each costs a pass over the whole image."""

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9

_SIZE_HINT = "Make it smaller; if you trust its source, Reading in Python takes a larger max_pixels"
_AGAIN = "Get the file again from its source"


def check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    """Holds width and height to the limit.

    Raises:
        ImageError: If the image has no pixels, or too many.
    """
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"{name} has no pixels: {width} x {height}", hint=_AGAIN)
    if width * height > max_pixels:
        raise ImageError(f"{name} has {width} x {height} pixels, more than {max_pixels:,}", hint=_SIZE_HINT)


def check_claims(image: Image.Image, data: bytes, name: str) -> None:
    """Holds what the header of a file says to what the file holds.

    Raises:
        ImageError: If the file is too short for its pixels, leaves some of them out, or repeats its scans endlessly.
    """
    pixels = image.width * image.height
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        pixels = max(pixels, _tile_pixels(image))  # libtiff makes room for a whole tile
        _check_covered(image, name)
    if pixels > _most_pixels(image.format, len(data)):
        raise ImageError(
            f"{name} claims {pixels:,} pixels in {len(data):,} bytes, as only damaged files and decompression bombs do",
            hint=_AGAIN,
        )
    if image.info.get("progressive") and _scans(data) > _MOST_SCANS:
        raise ImageError(f"{name} is a JPEG of more than {_MOST_SCANS} scans, a decompression bomb", hint=_AGAIN)


def canvas_of_webp(data: bytes) -> tuple[int, int] | None:
    """Width and height that the header of a WebP file claims; None if it is none.

    libwebp makes its canvas while it reads the header, so the size must be known before. Source: WebP container
    specification (chunks VP8X and VP8L) and RFC 6386, section 9.1 (VP8).
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    head = data[:30].ljust(30, b"\0")
    if head[12:16] == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", head, 26)
    return width & 0x3FFF, height & 0x3FFF


def _most_pixels(file_format: str | None, length: int) -> int:
    per_byte = _PIXELS_PER_BYTE.get(file_format or "")
    return per_byte * length if per_byte else max(_PIXELS_PER_BYTE_OF_OTHERS * length, _PLAIN)


def _tile_pixels(image: TiffImagePlugin.TiffImageFile) -> int:
    width, length = (image.tag_v2.get(tag, 0) for tag in (_TILE_WIDTH, _TILE_LENGTH))
    return int(width) * int(length)


def _check_covered(image: TiffImagePlugin.TiffImageFile, name: str) -> None:
    """Pillow decodes the strips that there are, and leaves the rest of the image black."""
    whole = (0, 0, image.width, image.height)
    extents = [tile[1] or whole for tile in image.tile]
    covered = sum((right - left) * (lower - upper) for left, upper, right, lower in extents)
    in_planes = image.tag_v2.get(_PLANAR_CONFIGURATION) == _SEPARATE and all(
        tile[0] != "libtiff" for tile in image.tile
    )
    if covered < image.width * image.height * (len(image.getbands()) if in_planes else 1):
        raise ImageError(f"{name} is damaged or cut short: strips of its image are missing", hint=_AGAIN)


def _scans(data: bytes) -> int:
    """The number of scans of a JPEG, counted up to one more than are allowed."""
    scans, at = 0, 2
    while scans <= _MOST_SCANS and (found := _MARKER.search(data, at)):
        marker, at = data[found.start() + 1], found.end()
        if marker == _END_OF_IMAGE:
            break
        scans += marker == _START_OF_SCAN
        at += int.from_bytes(data[at : at + 2], "big")  # the segment, up to the entropy-coded data
    return scans
