"""Errors of libtiff become errors that name the file, in every thread, and standard error remains empty."""

from __future__ import annotations

import ctypes
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image, _imaging
from support.image_files import draw, save

from camserve.errors import ImageError
from camserve.images.loading import load_image

FAX = "Fax4Decode: Bad code word"


def damaged(compression: str, mode: str = "RGB") -> bytes:
    data = bytearray(save(draw(mode, (64, 64)), "TIFF", compression=compression))
    place = len(data) // 3
    data[place : place + 60] = b"\xff" * 60
    return bytes(data)


@pytest.mark.parametrize(
    ("compression", "mode", "reason"),
    [
        ("tiff_lzw", "RGB", "Using code not yet in table"),
        ("tiff_adobe_deflate", "RGB", "ZIPDecode: Decoding error"),
        ("group4", "1", FAX),
    ],
)
def test_damaged_files_are_refused_with_their_name(
    compression: str, mode: str, reason: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scan.tif").write_bytes(damaged(compression, mode))
    with pytest.raises(ImageError, match=rf"scan\.tif is corrupt or truncated: {reason}\. ") as caught:
        load_image(tmp_path / "scan.tif")
    assert caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_errors_stay_in_their_thread(capfd: pytest.CaptureFixture[str]) -> None:
    whole, broken = save(draw("1", (64, 64)), "TIFF", compression="group4"), damaged("group4", "1")
    start = threading.Barrier(4)

    def read(data: bytes) -> int:
        start.wait()
        refused = 0
        for _ in range(50):
            try:
                load_image(data)
            except ImageError:
                refused += 1
        return refused

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, [whole, broken, whole, broken])) == [0, 50, 0, 50]
    assert capfd.readouterr() == ("", "")


def test_other_users_of_pillow_still_see_the_errors(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "scan.tif").write_bytes(damaged("group4", "1"))
    Image.open(tmp_path / "scan.tif").load()
    ctypes.CDLL(None).fflush(None)
    assert "Fax4Decode: Bad code word at line" in capfd.readouterr().err


def test_pillow_exports_the_handler_of_libtiff() -> None:
    assert ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
