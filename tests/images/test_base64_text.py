"""Base64 text of image files, told apart from the files themselves."""

from __future__ import annotations

import base64

import pytest
from support.image_files import draw, mutants, save, seeds

from camserve.errors import ImageError
from camserve.images.base64_text import from_base64, is_base64_text, to_base64

_LIMIT = 10**6


def test_base64_text_of_every_format_is_decoded() -> None:
    for data in seeds():
        for text in (
            base64.b64encode(data),
            base64.encodebytes(data),  # in lines
            b"data:image/jpeg;base64," + base64.b64encode(data),
        ):
            assert is_base64_text(text)
            assert from_base64(text, _LIMIT) == data


def test_no_file_is_taken_for_base64_text() -> None:
    files = seeds()
    assert not any(map(is_base64_text, files))
    assert not any(map(is_base64_text, mutants(files, 5_000)))


@pytest.mark.parametrize("text", [b"", b"hello", b"QUJD", b"1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", b"<html></html>"])
def test_text_that_decodes_to_no_image_is_not_base64_text(text: bytes) -> None:
    assert not is_base64_text(text)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_incomplete_base64_text_is_refused(cut: int) -> None:
    text = to_base64(save(draw("RGB"), "PNG"))[:-cut]
    assert is_base64_text(text)
    with pytest.raises(ImageError, match="characters of base64 text is incomplete") as caught:
        from_base64(text, _LIMIT)
    assert "base64 -w0 FILE" in str(caught.value.hint)


def test_size_is_checked_before_decoding() -> None:
    data = save(draw("RGB", (200, 200)), "BMP")
    assert from_base64(to_base64(data), len(data)) == data
    with pytest.raises(ImageError, match="more than"):
        from_base64(to_base64(data), len(data) - 3)
