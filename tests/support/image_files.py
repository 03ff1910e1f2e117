"""Create small files of every image format, and corrupt them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

__all__ = [
    "draw",
    "mutants",
    "png",
    "rle_bmp",
    "save",
    "seeds",
    "sixteen_bit_png",
    "tiff",
    "tiled_tiff",
    "twelve_bit_tiff",
]

_SAVED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    *(("JPEG", mode, {"quality": quality}) for mode in ("L", "RGB", "CMYK") for quality in (30, 95)),
    *(("JPEG", "RGB", {"subsampling": kind, "quality": 80}) for kind in (0, 1, 2)),
    ("JPEG", "RGB", {"progressive": True}),
    ("JPEG", "L", {"progressive": True}),
    ("JPEG", "CMYK", {"progressive": True}),
    ("JPEG", "RGB", {"optimize": True, "dpi": (72, 72), "comment": "a comment"}),
    ("JPEG", "RGB", {"restart_marker_blocks": 1}),
    *(
        ("PNG", mode, {"compress_level": level})
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
        for level in (0, 9)
    ),
    ("PNG", "P", {"bits": 2}),
    ("PNG", "P", {"transparency": 3}),
    ("PNG", "L", {"transparency": 3}),
    ("PNG", "RGB", {"dpi": (72, 72), "icc_profile": bytes(200)}),
    *(("GIF", mode, {"interlace": interlace}) for mode in ("1", "L", "P", "RGB") for interlace in (0, 1)),
    ("GIF", "P", {"transparency": 1, "comment": "a comment"}),
    *(("BMP", mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA")),
    *(("TIFF", mode, {}) for mode in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16", "F")),
    ("TIFF", "YCbCr", {"compression": "tiff_lzw"}),
    *(("TIFF", "RGB", {"compression": kind}) for kind in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")),
    *(("TIFF", "1", {"compression": kind}) for kind in ("group3", "group4")),
    ("TIFF", "RGB", {"compression": "tiff_lzw", "tiffinfo": {317: 2}}),
    ("TIFF", "RGB", {"compression": "tiff_lzw", "strip_size": 64}),
    ("TIFF", "RGB", {"big_tiff": True}),
    *(("WEBP", mode, {"quality": 80}) for mode in ("L", "RGB", "RGBA")),
    *(("WEBP", mode, {"lossless": True}) for mode in ("RGB", "RGBA")),
    *(("PPM", mode, {}) for mode in ("1", "L", "RGB", "I", "F")),
)
"""Format, mode and options of Pillow's `save`."""


def draw(mode: str, size: tuple[int, int] = (24, 16)) -> Image.Image:
    """Draw an image of any mode with gradients and noise, and four different corners."""
    width, height = size
    across = np.linspace(0, 255, width)[np.newaxis, :].repeat(height, axis=0)
    down = np.linspace(0, 255, height)[:, np.newaxis].repeat(width, axis=1)
    rough = np.random.default_rng(0).integers(0, 256, (height, width))
    image = Image.fromarray(np.stack([across, down, rough], axis=2).astype(np.uint8))
    if mode == "I;16":
        return Image.fromarray((across * 257).astype(np.uint16))
    if mode in ("LA", "PA", "RGBA"):
        image.putalpha(Image.fromarray(down.astype(np.uint8)))
    return image.convert("P").convert("PA") if mode == "PA" else image.convert(mode)


def save(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """Return the bytes of a file that Pillow writes."""
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def seeds() -> list[bytes]:
    """Return about 100 small files: every supported format, mode, compression and container feature."""
    return [
        *(save(draw(mode), name, **options) for name, mode, options in _SAVED),
        *_moving(),
        *_with_exif(),
        *_by_hand(),
    ]


def _moving() -> Iterator[bytes]:
    frames = [draw("RGB"), draw("RGB").transpose(Image.Transpose.ROTATE_180)]
    for name in ("GIF", "PNG", "WEBP", "TIFF"):
        yield save(frames[0], name, save_all=True, append_images=frames[1:])
    yield save(frames[0], "MPO", save_all=True, append_images=frames[1:])
    yield save(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True)


def _with_exif() -> Iterator[bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a description"
    for name in ("JPEG", "PNG", "WEBP", "TIFF"):
        yield save(draw("RGB"), name, exif=exif)


def _by_hand() -> Iterator[bytes]:
    yield b"P1\n# a comment\n4 2\n0 1 0 1\n1 0 1 0\n"
    yield b"P2\n3 2\n15\n0 1 2\n3 4 15\n"
    yield b"P3\n2 2\n200\n" + b"1 2 3 " * 4
    yield b"P5\n4 4\n1000\n" + bytes(range(32))
    yield b"P6\n4 2\n100\n" + bytes(range(24))
    yield rle_bmp()
    yield tiled_tiff()
    yield twelve_bit_tiff(np.arange(32).reshape(4, 8) * 132)
    yield sixteen_bit_png()


def rle_bmp() -> bytes:
    """Return a BMP of 4 x 2 pixels with run-length encoding."""
    body = bytes([4, 1, 0, 0, 2, 2, 2, 3, 0, 0, 0, 1])
    palette = b"".join(bytes([value, value, value, 0]) for value in range(256))
    info = struct.pack("<IiiHHIIiiII", 40, 4, 2, 1, 8, 1, len(body), 0, 0, 256, 0)
    offset = 14 + len(info) + len(palette)
    return struct.pack("<2sIHHI", b"BM", offset + len(body), 0, 0, offset) + info + palette + body


def tiled_tiff(side: int = 16) -> bytes:
    """Return a TIFF of 16 x 16 gray pixels in one deflated tile, whose declared side may be larger."""
    body = zlib.compress(bytes(range(256)))
    return tiff(16, 16, body, compression=8, more=((322, side), (323, side), (324, 8), (325, len(body))))


def twelve_bit_tiff(values: np.ndarray[Any, Any]) -> bytes:
    """Return a TIFF of gray pixels of 12 bits, two in three bytes; the width must be even."""
    first, second = values.reshape(-1, 2).T
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1)
    return tiff(values.shape[1], values.shape[0], packed.astype(np.uint8).tobytes(), compression=1, bits=12)


def tiff(
    width: int,
    height: int,
    body: bytes,
    *,
    compression: int,
    bits: int = 8,
    more: tuple[tuple[int, int], ...] | None = None,
) -> bytes:
    """Return a gray TIFF with a declared size and any content, in one strip or as defined by `more` tags."""
    placed = ((273, 8), (278, height), (279, len(body))) if more is None else more
    tags = sorted(((256, width), (257, height), (258, bits), (259, compression), (262, 1), (277, 1), *placed))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return struct.pack("<2sHI", b"II", 42, 8 + len(body)) + body + struct.pack("<H", len(tags)) + entries + bytes(4)


def sixteen_bit_png() -> bytes:
    """Return a PNG of 4 x 4 RGB pixels of 16 bits, which Pillow cannot write."""
    rows = b"".join(b"\0" + bytes(range(24)) for _ in range(4))
    return png(4, 4, rows, depth=16, color=2)


def png(width: int, height: int, rows: bytes, *, depth: int = 8, color: int = 2) -> bytes:
    """Return a PNG with a declared size and any content."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


_EXTREME = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def mutants(files: list[bytes], count: int, *, seed: int = 0) -> Iterator[bytes]:
    """Corrupt files in turn: overwrite bytes, set fields to extreme values, remove, repeat and insert parts."""
    random = np.random.default_rng(seed)
    for number in range(count):
        data = bytearray(files[number % len(files)])
        for _ in range(int(random.integers(1, 4))):
            if data:
                _DAMAGES[int(random.integers(len(_DAMAGES)))](data, random, files)
        yield bytes(data)


def _overwrite(data: bytearray, random: np.random.Generator, files: list[bytes]) -> None:
    for place in random.integers(0, len(data), int(random.integers(1, 9))):
        data[place] = int(random.integers(256))


def _overwrite_head(data: bytearray, random: np.random.Generator, files: list[bytes]) -> None:
    data[int(random.integers(min(64, len(data))))] = int(random.integers(256))


def _set_field(data: bytearray, random: np.random.Generator, files: list[bytes]) -> None:
    place, width = int(random.integers(min(256, len(data)))), int(random.choice([1, 2, 4]))
    value = _EXTREME[int(random.integers(len(_EXTREME)))] % 256**width
    data[place : place + width] = value.to_bytes(width, "little" if random.integers(2) else "big")


def _truncate(data: bytearray, random: np.random.Generator, files: list[bytes]) -> None:
    del data[int(random.integers(len(data))) :]


def _remove(data: bytearray, random: np.random.Generator, files: list[bytes]) -> None:
    place = int(random.integers(len(data)))
    del data[place : place + int(random.integers(1, 33))]


def _repeat(data: bytearray, random: np.random.Generator, files: list[bytes]) -> None:
    start = int(random.integers(len(data)))
    part = data[start : start + int(random.integers(1, 65))]
    data[start:start] = part * int(random.integers(1, 9))


def _insert(data: bytearray, random: np.random.Generator, files: list[bytes]) -> None:
    other = files[int(random.integers(len(files)))]
    start, place = int(random.integers(len(other))), int(random.integers(len(data)))
    data[place:place] = other[start : start + 200]


_DAMAGES = (_overwrite, _overwrite_head, _set_field, _truncate, _remove, _repeat, _insert)
