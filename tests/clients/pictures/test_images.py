from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from camserve.clients.pictures.images import FORMATS, load_image
from camserve.errors import ImageError

SAVED_AS: dict[str, dict[str, Any]] = {
    "jpeg": {"format": "JPEG", "quality": 90},
    "progressive": {"format": "JPEG", "progressive": True},
    "png": {"format": "PNG"},
    "gif": {"format": "GIF"},
    "bmp": {"format": "BMP"},
    "tiff": {"format": "TIFF"},
    "tiff-lzw": {"format": "TIFF", "compression": "tiff_lzw"},
    "webp": {"format": "WEBP"},
    "webp-lossless": {"format": "WEBP", "lossless": True},
    "ppm": {"format": "PPM"},
}


def photo(size: tuple[int, int] = (96, 64)) -> Image.Image:
    return Image.fromarray(load_sample_image("flower.jpg")).resize(size)


def encoded(kind: str, image: Image.Image | None = None) -> bytes:
    stream = io.BytesIO()
    (image or photo()).save(stream, **SAVED_AS[kind])
    return stream.getvalue()


def pixels(image: Image.Image) -> np.ndarray[Any, Any]:
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("kind", SAVED_AS)
def test_every_format_reads_alike_from_path_and_bytes(tmp_path: Path, kind: str) -> None:
    data = encoded(kind)
    path = tmp_path / "picture"
    path.write_bytes(data)
    expected = pixels(Image.open(io.BytesIO(data)))
    for source in (path, str(path), data, Image.open(io.BytesIO(data))):
        assert np.array_equal(pixels(load_image(source)), expected)


@pytest.mark.parametrize("kind", SAVED_AS)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_file_cut_short_is_refused_or_complete(kind: str) -> None:
    data = encoded(kind)
    whole = pixels(load_image(data))
    refused = 0
    for hundredth in range(1, 100):
        try:
            image = load_image(data[: len(data) * hundredth // 100])
        except ImageError:
            refused += 1
        else:
            assert np.array_equal(pixels(image), whole)
    assert refused >= 90


@pytest.mark.parametrize("kind", SAVED_AS)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_damaged_file_is_read_or_refused_but_never_crashes(kind: str) -> None:
    random = np.random.default_rng(3)
    data = np.frombuffer(encoded(kind, photo((24, 16))), np.uint8)
    for _ in range(60):
        broken = data.copy()
        places = random.integers(0, len(broken), random.integers(1, 12))
        broken[places] = random.integers(0, 256, len(places))
        try:
            load_image(broken.tobytes(), max_pixels=1_000_000)
        except ImageError:
            continue


def test_arrays_are_rgb_or_gray() -> None:
    random = np.random.default_rng(0)
    color = random.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    gray = color[:, :, 0]
    assert np.array_equal(np.asarray(load_image(color)), color)
    assert np.array_equal(np.asarray(load_image(color[::2, ::-1])), color[::2, ::-1])
    assert load_image(gray).mode == load_image(gray[:, :, np.newaxis]).mode == "L"
    assert np.array_equal(np.asarray(load_image(gray)), gray)


def test_the_picture_does_not_follow_changes_of_the_array() -> None:
    for shape in ((4, 4), (4, 4, 3)):
        array = np.zeros(shape, np.uint8)
        image = load_image(array)
        array[:] = 255
        assert np.asarray(image).max() == 0


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 3), np.int64),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((4,), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_any_other_array_is_refused(array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(ImageError, match=r"uint8 pixels of shape \[height, width, 3\] in RGB"):
        load_image(array)


def test_another_type_is_refused() -> None:
    with pytest.raises(ImageError, match="cannot be read from int"):
        load_image(3)  # type: ignore[arg-type]


def test_exif_orientation_is_ignored_as_in_keras() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    photo((96, 64)).save(stream, "JPEG", exif=exif)
    assert load_image(stream.getvalue()).size == (96, 64)


def test_of_several_frames_the_first_is_taken() -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime")]
    for name in ("GIF", "WEBP", "PNG", "TIFF"):
        stream = io.BytesIO()
        lossless = {"lossless": True} if name == "WEBP" else {}
        frames[0].save(stream, name, save_all=True, append_images=frames[1:], **lossless)
        assert load_image(stream.getvalue()).convert("RGB").getpixel((4, 4)) == (255, 0, 0)


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [(8001, 8000), (12_000, 12_000), (60_000, 60_000)])
def test_a_picture_above_the_cap_is_refused_before_decoding(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=r"pixels|too large") as caught:
        load_image(png_header(*size))
    assert "max_pixels" in str(caught.value)


@pytest.mark.filterwarnings("error")
def test_a_cap_above_the_limit_of_pillow_is_honoured_and_that_limit_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded("png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(data))
    assert load_image(data).size == (96, 64)
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_the_cap_itself_is_still_read_and_can_be_moved() -> None:
    data = encoded("png")
    assert load_image(data, max_pixels=96 * 64).size == (96, 64)
    for source in (data, photo(), np.asarray(photo())):
        with pytest.raises(ImageError, match=r"96 x 64 pixels, more than 6,143"):
            load_image(source, max_pixels=96 * 64 - 1)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><title>not found</title>", "no image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n", "no image of a known format"),
        (b"%PDF-1.7\n", "no image of a known format"),
        (b"\x7fELF" + bytes(100), "no image of a known format"),
    ],
)
def test_a_file_that_is_no_image_is_refused_by_name(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=why) as caught:
        load_image(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint


def test_formats_outside_the_list_are_refused_though_pillow_reads_them() -> None:
    stream = io.BytesIO()
    photo().save(stream, "TGA")
    Image.open(io.BytesIO(stream.getvalue())).load()
    assert "TGA" not in FORMATS
    with pytest.raises(ImageError, match="no image of a known format"):
        load_image(stream.getvalue())


def test_a_missing_file_a_folder_a_pipe_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    cases: list[tuple[str | Path, str]] = [
        (tmp_path / "none.png", "does not exist"),
        (tmp_path, "folder"),
        (pipe, "pipe"),
        ("/dev/zero", "device"),
    ]
    for path, why in cases:
        with pytest.raises(ImageError, match=why):
            load_image(path)


@pytest.mark.parametrize("name", [b"caf\xe9.png", "日本.png".encode(), b"two\nlines.png", b"a,'\".png"])
def test_any_file_name_is_read_and_a_message_stays_one_line(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(encoded("png"))
    assert load_image(path).size == (96, 64)
    path.write_bytes(b"nothing")
    with pytest.raises(ImageError) as caught:
        load_image(path)
    assert "\n" not in str(caught.value)
    str(caught.value).encode("utf-8")


def test_a_name_with_a_nul_is_refused() -> None:
    with pytest.raises(ImageError, match="cannot be opened"):
        load_image("a\0b.png")


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1)])
def test_thin_pictures_are_read(size: tuple[int, int]) -> None:
    assert load_image(encoded("png", Image.new("RGB", size))).size == size
