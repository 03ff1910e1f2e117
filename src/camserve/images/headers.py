"""Check the header of an image file before any pixel is decoded.

A few bytes can declare an image of gigabytes. Decoders allocate its memory and, if the data ends early, fill the rest
with gray or black, often without an error.
"""

from __future__ import annotations

import re
import struct

from PIL import Image, TiffImagePlugin

from camserve.errors import ImageError

__all__ = ["check_header", "check_size", "declared_size"]

_TILE_WIDTH, _TILE_LENGTH = 322, 323  # tags of TIFF
_PLANAR_CONFIGURATION, _SEPARATE = 284, 2
_BITS_PER_SAMPLE = 258
_SAMPLE_FORMAT, _SIGNED = 339, 2

_PIXELS_PER_BYTE = {"JPEG": 1024, "MPO": 1024}
"""Huffman coding needs at least one bit per block of 8 x 8 samples, and a unit of 32 x 32 pixels has at least eight
blocks: with one component sampled 4:1 horizontally, and one vertically (ITU-T T.81, A.2 and F.1)."""

_PIXELS_PER_BYTE_OF_OTHERS = 10_000
"""Deflate reaches 8,256 at one bit per pixel. Other formats exceed it only for uniform areas."""

_UNIFORM = 4_000_000
"""An image of up to so many pixels may be uniform, and thus have any number of bytes, except for JPEG."""

_MAX_SCANS = 100
"""Encoders write about 10 scans. Each one requires a pass over the whole image."""

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9

_SIZE_HINT = "Reduce it or, if you trust its source, raise the limit: --max-pixels N, or DecodeOptions(max_pixels=N)"
_GET_AGAIN = "Get the file again from its source"


def check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    """Check width and height against the limit.

    Raises:
        ImageError: If the image has no pixels, or too many.
    """
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"{name} has no pixels: {width} x {height}", hint=_GET_AGAIN)
    if width * height > max_pixels:
        raise ImageError(f"{name} has {width} x {height} pixels, more than {max_pixels:,}", hint=_SIZE_HINT)


def check_header(image: Image.Image, data: bytes, name: str) -> None:
    """Check the header of a file against the size of the file.

    Raises:
        ImageError: If the file is too short for its pixels, lacks some of them, has too many scans, or has gray pixels
            of 32 bits or with a sign.
    """
    pixels = image.width * image.height
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        pixels = max(pixels, _tile_pixels(image))  # libtiff allocates whole tiles
        _check_covered(image, name)
        _check_depth(image, name)
    if pixels > _max_pixels(image.format, len(data)):
        raise ImageError(
            f"{name} declares {pixels:,} pixels in {len(data):,} bytes: it is corrupt or a decompression bomb",
            hint=_GET_AGAIN,
        )
    if image.info.get("progressive") and _scans(data) > _MAX_SCANS:
        raise ImageError(f"{name} is a JPEG with more than {_MAX_SCANS} scans: a decompression bomb", hint=_GET_AGAIN)


def declared_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height from the header of a WebP or GIF file; None for other files.

    libwebp allocates its canvas when it reads the header, and Pillow applies a limit of its own to the frames of a GIF,
    so both sizes must be checked before.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _canvas_of_webp(data[:30].ljust(30, b"\0"))
    return _canvas_of_gif(data) if data[:6] in (b"GIF87a", b"GIF89a") else None


def _canvas_of_webp(head: bytes) -> tuple[int, int]:
    """Source: WebP container specification (chunks VP8X and VP8L) and RFC 6386, section 9.1 (VP8)."""
    if head[12:16] == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", head, 26)
    return width & 0x3FFF, height & 0x3FFF


def _canvas_of_gif(data: bytes) -> tuple[int, int]:
    """Return the size of the screen, extended by the first frame. Source: GIF89a specification, sections 18 to 26."""
    width, height, flags = struct.unpack_from("<HHB", data.ljust(13, b"\0"), 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while data[at : at + 1] == b"!":  # an extension: its label, then blocks, of which the last is empty
        at += 2
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    if data[at : at + 1] == b"," and at + 9 <= len(data):
        left, top, across, down = struct.unpack_from("<HHHH", data, at + 1)
        return max(width, left + across), max(height, top + down)
    return width, height


def _max_pixels(file_format: str | None, length: int) -> int:
    per_byte = _PIXELS_PER_BYTE.get(file_format or "")
    return per_byte * length if per_byte else max(_PIXELS_PER_BYTE_OF_OTHERS * length, _UNIFORM)


def _tile_pixels(image: TiffImagePlugin.TiffImageFile) -> int:
    width, length = (image.tag_v2.get(tag, 0) for tag in (_TILE_WIDTH, _TILE_LENGTH))
    return int(width) * int(length)


def _check_covered(image: TiffImagePlugin.TiffImageFile, name: str) -> None:
    """Check that no strip is missing: Pillow would leave its part of the image black."""
    whole = (0, 0, image.width, image.height)
    extents = [tile[1] or whole for tile in image.tile]
    covered = sum((right - left) * (lower - upper) for left, upper, right, lower in extents)
    in_planes = image.tag_v2.get(_PLANAR_CONFIGURATION) == _SEPARATE and all(
        tile[0] != "libtiff" for tile in image.tile
    )
    if covered < image.width * image.height * (len(image.getbands()) if in_planes else 1):
        raise ImageError(f"{name} is corrupt or truncated: strips of the image are missing", hint=_GET_AGAIN)


def _check_depth(image: TiffImagePlugin.TiffImageFile, name: str) -> None:
    """Refuse integers of 32 bits or with a sign: values of 12 bits, for instance, would become almost black."""
    if image.mode == "I":
        bits = image.tag_v2.get(_BITS_PER_SAMPLE, (32,))[0]
        sign = "signed " if image.tag_v2.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED else ""
        raise ImageError(
            f"{name} has {sign}gray pixels of {bits} bits, whose range of values is unknown",
            hint="Convert it to 8-bit RGB or gray, or to 16-bit gray without a sign",
        )


def _scans(data: bytes) -> int:
    """Count the scans of a JPEG, up to one more than the limit."""
    scans, at = 0, 2
    while scans <= _MAX_SCANS and (found := _MARKER.search(data, at)):
        marker, at = data[found.start() + 1], found.end()
        if marker == _END_OF_IMAGE:
            break
        scans += marker == _START_OF_SCAN
        at += int.from_bytes(data[at : at + 2], "big")  # skip the segment, up to the entropy-coded data
    return scans
