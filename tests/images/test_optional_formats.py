"""HEIC and AVIF are decoded where the package is installed, and otherwise named with it."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from camserve.errors import ImageError
from camserve.images.loading import load_image

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)


def photo() -> Image.Image:
    return Image.fromarray(np.linspace(0, 255, 64 * 48 * 3).reshape(48, 64, 3).astype(np.uint8))


def saved(kind: str) -> bytes:
    stream = io.BytesIO()
    photo().save(stream, kind)
    return stream.getvalue()


def test_heic_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "IMG_1.jpg"  # phones rename files without converting them
    path.write_bytes(HEIC)
    with pytest.raises(ImageError, match=r"IMG_1\.jpg is of the format HEIC, which requires pillow-heif") as error:
        load_image(path)
    assert error.value.hint == "Install it: pip install 'camserve[heif]'"


def test_avif_of_an_older_pillow_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved("AVIF")
    monkeypatch.delitem(features.modules, "avif")
    with pytest.raises(ImageError, match=r"is of the format AVIF, which requires Pillow 11\.3"):
        load_image(data)


def test_avif_is_decoded_as_by_pillow() -> None:
    data = saved("AVIF")
    np.testing.assert_array_equal(np.asarray(load_image(data)), np.asarray(Image.open(io.BytesIO(data))))
    with pytest.raises(ImageError, match="corrupt or truncated"):
        load_image(data[: len(data) // 2])


def test_heic_is_decoded_as_by_pillow_heif() -> None:
    plugin = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    plugin.from_pillow(photo()).save(stream, quality=90)
    decoded = np.asarray(load_image(stream.getvalue()))
    np.testing.assert_array_equal(decoded, np.asarray(plugin.open_heif(io.BytesIO(stream.getvalue())).to_pillow()))
    for broken in (HEIC, stream.getvalue()[: len(stream.getvalue()) // 2]):
        with pytest.raises(ImageError, match="corrupt or truncated"):
            load_image(broken)


def test_unsupported_format_is_named() -> None:
    with pytest.raises(ImageError, match=r"is not an image of a supported format \(it is JPEG 2000\)") as error:
        load_image(saved("JPEG2000"))
    assert str(error.value.hint).startswith("Convert it to 8-bit RGB or gray")
