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
from support.image_reading import read_apart

from camserve.clients.images.decode_options import DecodeOptions
from camserve.clients.images.loading import load_image, open_image
from camserve.errors import ImageError

MEBI = 2**20
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


def test_twenty_thousand_damaged_files_are_read_or_refused_and_nothing_else() -> None:
    report = read_apart("mutants", "20000", "0")
    assert report["seeds"] >= 90
    assert report["read"] + report["refused"] == 20_000
    assert min(report["read"], report["refused"]) > 1000
    assert report["slowest"] < 2
    assert report["growth"] < 200 * MEBI
    assert report["peak"] < 200 * MEBI


def test_damage_hits_every_seed_and_differs_with_its_number() -> None:
    files = seeds()
    assert len({data[:2] for data in files}) >= 7
    first, again, other = (list(mutants(files, len(files), seed=seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert sum(damaged != data for damaged, data in zip(first, files, strict=True)) > 0.9 * len(files)


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
    yield "canvas.webp", _patched(_animated_webp(), 24, b"\xff\x2f\x00\xff\x2f\x00")  # within Pillow's cap
    yield "plain.webp", _patched(_animated_webp(), 24, b"\xff\x1e\x00\xff\x1e\x00")  # within the cap for pixels
    yield "huge.jpg", _jpeg_of(65_500)
    yield "gray.jpg", _jpeg_of(7_900)  # within the cap, and hardly any of its pixels in the file
    yield "huge.ppm", b"P6\n60000 60000\n255\n" + bytes(MEBI)


def _patched(data: bytes, place: int, put: bytes) -> bytes:
    return data[:place] + put + data[place + len(put) :]


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
    report = read_apart("files", tmp_path / "warm-up.png", *(path for path in paths if path.name != "warm-up.png"))
    assert report.pop(str(tmp_path / "warm-up.png"))["error"] is None
    assert len(report) == 16
    for path, found in report.items():
        assert found["error"] is not None, path
        assert found["growth"] < 32 * MEBI, path
        assert found["seconds"] < 1, path


def test_the_measure_notices_a_image_that_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png(6000, 6000, bytes(6000 * (1 + 3 * 6000))))
    (found,) = read_apart("files", path).values()
    assert found["error"] is None
    assert found["growth"] > 100 * MEBI


@pytest.mark.parametrize("name", ["gray.jpg", "plain.webp"])
def test_a_file_too_short_for_its_pixels_is_refused_though_pillow_fills_them_up(name: str) -> None:
    data = dict(bombs())[name]
    with pytest.raises(ImageError, match=r"claims [\d,]+ pixels in [\d,]+ bytes"):
        load_image(data)
    Image.open(io.BytesIO(data)).load()


def test_a_plain_area_in_few_bytes_is_still_a_image() -> None:
    plain = Image.new("RGB", (2000, 2000), "red")
    for name, options in (("PNG", {}), ("GIF", {}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 1})):
        assert load_image(save(plain, name, **options)).size == (2000, 2000)


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    data = save(draw("RGB"), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    load_image(data[:-2] + 50 * last + data[-2:])
    with pytest.raises(ImageError, match="more than 100 scans"):
        load_image(data[:-2] + 200 * last + data[-2:])


def test_a_tiff_that_lacks_strips_is_refused_though_pillow_fills_them_with_black() -> None:
    tall = tiff(16, 500, bytes(256), compression=1, more=((273, 8), (278, 16), (279, 256)))
    Image.open(io.BytesIO(tall)).load()
    with pytest.raises(ImageError, match="strips of its image are missing"):
        load_image(tall)


def test_nothing_is_read_in_a_program_that_lets_pillow_fill_up_cut_images(monkeypatch: pytest.MonkeyPatch) -> None:
    data = save(draw("RGB", (96, 64)), "JPEG")
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    Image.open(io.BytesIO(data[: len(data) // 2])).load()
    with pytest.raises(ImageError, match="LOAD_TRUNCATED_IMAGES"):
        load_image(data[: len(data) // 2])
    assert load_image(draw("RGB")).size == (24, 16)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><title>not found</title>", "no image of a known format"),
        (EPS, "no image of a known format"),
        (b"%PDF-1.7\n", "no image of a known format"),
        (b"\x7fELF" + bytes(100), "no image of a known format"),
        (b"MZ" + bytes(100), "no image of a known format"),
        (b"\0\0\1\0\1\0" + bytes(100), "no image of a known format"),
        (b"P4rty time", "no image of a known format"),
        (b"\x89PNG\r\n\x1a\n", "no image of a known format"),
    ],
)
def test_a_file_that_is_no_image_is_refused_by_name(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=why) as caught:
        load_image(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a false Ghostscript, first on PATH, would leave behind."""
    sung = tmp_path / "sung"
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("gs", "gswin64c", "gswin32c"):
        program = programs / name
        program.write_text(f"#!/bin/sh\necho sung > '{sung}'\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # what it found on the way before
    return sung


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


def test_no_plugin_of_another_format_is_loaded_to_read_a_image(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(EPS)
    code = (
        "import sys\nfrom camserve.clients.images.loading import load_image\nfrom camserve.errors import ImageError\n"
        f"try:\n    load_image({str(path)!r})\nexcept ImageError:\n    sys.exit('PIL.EpsImagePlugin' in sys.modules)\n"
        "sys.exit(2)"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0


def test_formats_outside_the_list_are_refused_though_pillow_reads_them() -> None:
    for name in ("TGA", "ICO", "JPEG2000"):
        data = save(draw("RGB"), name)
        opened = Image.open(io.BytesIO(data))
        opened.load()
        with pytest.raises(ImageError, match="no image of a known format"):
            load_image(data)
        with pytest.raises(ImageError, match=f"format {name}"):
            load_image(opened)
        assert load_image(opened.copy()).size == opened.size


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [(8001, 8000), (12_000, 12_000), (60_000, 60_000)])
def test_a_image_above_the_cap_is_refused_by_its_header(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=r"pixels, more than 64,000,000") as caught:
        open_image(png(*size, bytes(1000)))
    assert "max_pixels" in str(caught.value)


@pytest.mark.filterwarnings("error")
def test_a_cap_above_the_limit_of_pillow_is_honoured_and_that_limit_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    data = save(draw("RGB", (96, 64)), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(data))
    assert load_image(data).size == (96, 64)
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_the_cap_itself_is_still_read_and_can_be_moved() -> None:
    image = draw("RGB", (96, 64))
    data = save(image, "PNG")
    assert load_image(data, DecodeOptions(max_pixels=96 * 64)).size == (96, 64)
    for source in (data, image):
        with pytest.raises(ImageError, match=r"96 x 64 pixels, more than 6,143"):
            load_image(source, DecodeOptions(max_pixels=96 * 64 - 1))
