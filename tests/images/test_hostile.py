"""Hostile image files: corrupt files, decompression bombs and unsupported formats."""

from __future__ import annotations

import io
import os
import stat
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from support.image_files import draw, mutants, png, rle_bmp, save, seeds, tiff, tiled_tiff
from support.image_reading import read_in_subprocess

from camserve.errors import ImageError
from camserve.images.decode_options import DecodeOptions
from camserve.images.loading import load_image, open_image

MEBI = 2**20
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


def test_corrupt_files_are_decoded_or_refused_without_a_crash() -> None:
    report = read_in_subprocess("mutants", "20000", "0")
    assert report["seeds"] >= 90
    assert report["read"] + report["refused"] == 20_000
    assert min(report["read"], report["refused"]) > 1000
    assert report["slowest"] < 2
    assert report["growth"] < 200 * MEBI
    assert report["peak"] < 200 * MEBI


def test_mutants_cover_every_seed_and_are_reproducible() -> None:
    files = seeds()
    assert len({data[:2] for data in files}) >= 7
    first, again, other = (list(mutants(files, len(files), seed=seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert sum(mutant != data for mutant, data in zip(first, files, strict=True)) > 0.9 * len(files)


def bombs() -> Iterator[tuple[str, bytes]]:
    side = 60_000
    yield "zeros.png", png(side, side, bytes(20 * MEBI))
    yield "interlaced.png", png(side, side, bytes(MEBI), depth=16, color=6)
    yield "canvas.gif", b"GIF89a" + struct.pack("<HH", side, side) + save(draw("P"), "GIF")[10:]
    yield "frame.gif", _gif_with_a_frame_of(side)
    yield "raw.bmp", _patched(save(draw("RGB"), "BMP"), 18, struct.pack("<ii", side, side))
    yield "run-lengths.bmp", _patched(rle_bmp(), 18, struct.pack("<ii", side, side))
    yield "icon.ico", struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, 32, MEBI, 22) + png(side, side, bytes(MEBI))
    yield "deflated.tif", tiff(side, side, zlib.compress(bytes(MEBI)), compression=8)
    yield "tile.tif", tiled_tiff(side)
    yield "lossy.webp", _patched(save(draw("RGB"), "WEBP"), 26, struct.pack("<HH", 16_383, 16_383))
    yield "lossless.webp", _patched(save(draw("RGB"), "WEBP", lossless=True), 21, struct.pack("<I", 2**28 - 1))
    yield "canvas.webp", _patched(_animated_webp(), 24, b"\xff\x2f\x00\xff\x2f\x00")  # within Pillow's limit
    yield "plain.webp", _patched(_animated_webp(), 24, b"\xff\x1e\x00\xff\x1e\x00")  # within the limit of pixels
    yield "huge.jpg", _jpeg_of(65_500)
    yield "gray.jpg", _jpeg_of(7_900)  # within the limit, but almost no pixel is in the file
    yield "huge.ppm", b"P6\n60000 60000\n255\n" + bytes(MEBI)


def _patched(data: bytes, place: int, patch: bytes) -> bytes:
    return data[:place] + patch + data[place + len(patch) :]


def _gif_with_a_frame_of(side: int) -> bytes:
    data = save(draw("L"), "GIF")
    place = data.index(b"\x2c\0\0\0\0")
    return _patched(data, place + 5, struct.pack("<HH", side, side))


def _animated_webp() -> bytes:
    return save(draw("RGB"), "WEBP", save_all=True, append_images=[draw("RGB").rotate(180)])


def _jpeg_of(side: int) -> bytes:
    data = save(draw("RGB"), "JPEG")
    return _patched(data, data.index(b"\xff\xc0") + 5, struct.pack(">HH", side, side))


@pytest.mark.timed
def test_bombs_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    for name, data in bombs():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "warm-up.png").write_bytes(save(draw("RGB"), "PNG"))
    paths = sorted(tmp_path.iterdir())
    report = read_in_subprocess(
        "files", tmp_path / "warm-up.png", *(path for path in paths if path.name != "warm-up.png")
    )
    assert report.pop(str(tmp_path / "warm-up.png"))["error"] is None
    assert len(report) == 16
    for path, found in report.items():
        assert found["error"] is not None, path
        assert found["growth"] < 32 * MEBI, path
        assert found["seconds"] < 1, path


def test_memory_is_measured_when_an_image_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png(6000, 6000, bytes(6000 * (1 + 3 * 6000))))
    (found,) = read_in_subprocess("files", path).values()
    assert found["error"] is None
    assert found["growth"] > 100 * MEBI


@pytest.mark.parametrize("name", ["gray.jpg", "plain.webp"])
def test_a_file_too_short_for_its_pixels_is_refused(name: str) -> None:
    data = dict(bombs())[name]
    with pytest.raises(ImageError, match=r"declares [\d,]+ pixels in [\d,]+ bytes"):
        load_image(data)
    Image.open(io.BytesIO(data)).load()


def test_a_uniform_image_of_few_bytes_is_accepted() -> None:
    plain = Image.new("RGB", (2000, 2000), "red")
    for name, options in (("PNG", {}), ("GIF", {}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 1})):
        assert load_image(save(plain, name, **options)).size == (2000, 2000)


def test_a_jpeg_with_too_many_scans_is_refused() -> None:
    data = save(draw("RGB"), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    load_image(data[:-2] + 50 * last + data[-2:])
    with pytest.raises(ImageError, match="more than 100 scans"):
        load_image(data[:-2] + 200 * last + data[-2:])


def test_a_tiff_with_missing_strips_is_refused() -> None:
    tall = tiff(16, 500, bytes(256), compression=1, more=((273, 8), (278, 16), (279, 256)))
    Image.open(io.BytesIO(tall)).load()
    with pytest.raises(ImageError, match="strips of the image are missing"):
        load_image(tall)


def test_pillows_setting_for_truncated_images_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = save(draw("RGB", (96, 64)), "JPEG")
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    Image.open(io.BytesIO(data[: len(data) // 2])).load()
    with pytest.raises(ImageError, match="LOAD_TRUNCATED_IMAGES"):
        load_image(data[: len(data) // 2])
    assert load_image(draw("RGB")).size == (24, 16)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><title>not found</title>", "not an image of a supported format"),
        (EPS, "not an image of a supported format"),
        (b"%PDF-1.7\n", "not an image of a supported format"),
        (b"\x7fELF" + bytes(100), "not an image of a supported format"),
        (b"MZ" + bytes(100), "not an image of a supported format"),
        (b"\0\0\1\0\1\0" + bytes(100), "not an image of a supported format"),
        (b"P4rty time", "not an image of a supported format"),
        (b"\x89PNG\r\n\x1a\n", "not an image of a supported format"),
    ],
)
def test_a_file_that_is_not_an_image_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        load_image(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a fake Ghostscript first on PATH, and return the file that it would create."""
    evidence = tmp_path / "evidence"
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("gs", "gswin64c", "gswin32c"):
        program = programs / name
        program.write_text(f"#!/bin/sh\ntouch '{evidence}'\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # Pillow caches the path of the program
    return evidence


def test_ghostscript_never_starts(tmp_path: Path, canary: Path) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(EPS)
    opened = Image.open(path)
    assert opened.format == "EPS"
    for source in (path, EPS, io.BytesIO(EPS), opened):
        with pytest.raises(ImageError):
            load_image(source)
    assert not canary.exists()
    with pytest.raises(OSError):
        opened.load()
    assert canary.exists()


def test_plugins_of_other_formats_are_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(EPS)
    code = (
        "import sys\nfrom camserve.images.loading import load_image\nfrom camserve.errors import ImageError\n"
        f"try:\n    load_image({str(path)!r})\nexcept ImageError:\n    sys.exit('PIL.EpsImagePlugin' in sys.modules)\n"
        "sys.exit(2)"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0


def test_other_formats_that_pillow_reads_are_refused() -> None:
    for name in ("TGA", "ICO", "JPEG2000"):
        data = save(draw("RGB"), name)
        opened = Image.open(io.BytesIO(data))
        opened.load()
        with pytest.raises(ImageError, match="not an image of a supported format"):
            load_image(data)
        with pytest.raises(ImageError, match=f"unsupported format {name}"):
            load_image(opened)
        assert load_image(opened.copy()).size == opened.size


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [(8001, 8000), (12_000, 12_000), (60_000, 60_000)])
def test_an_image_above_the_limit_is_refused_by_its_header(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=r"pixels, more than 64,000,000") as caught:
        open_image(png(*size, bytes(1000)))
    assert "max_pixels" in str(caught.value)


@pytest.mark.filterwarnings("error")
def test_pillows_own_limit_is_neither_used_nor_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = save(draw("RGB", (96, 64)), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(data))
    assert load_image(data).size == (96, 64)
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_an_image_of_exactly_the_limit_is_decoded() -> None:
    image = draw("RGB", (96, 64))
    data = save(image, "PNG")
    assert load_image(data, DecodeOptions(max_pixels=96 * 64)).size == (96, 64)
    for source in (data, image):
        with pytest.raises(ImageError, match=r"96 x 64 pixels, more than 6,143"):
            load_image(source, DecodeOptions(max_pixels=96 * 64 - 1))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("screen", [(9000, 9000), (10, 10)])
@pytest.mark.parametrize("frame", [(9000, 9000), (60_000, 60_000)])
def test_the_limit_of_pixels_covers_frames_of_gif(screen: tuple[int, int], frame: tuple[int, int]) -> None:
    extension = b"!\xfe\x03abc\x00"
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + bytes(6) + extension
    data = head + b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02\x44\x01\x00;"
    largest = max(screen[0], frame[0])
    with pytest.raises(ImageError, match=f"has {largest} x {largest} pixels, more than 64,000,000"):
        load_image(data)
