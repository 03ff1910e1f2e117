"""Images are recognized by their first bytes, as Pillow recognizes them."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image
from support.image_files import seeds

from camserve.images.formats import FORMATS, identify
from camserve.images.signatures import SIGNATURE_LENGTH, image_kind


def test_kind_of_every_seed_is_that_of_pillow() -> None:
    kinds = set()
    for data in seeds():
        opened = identify(data, "seed")
        assert isinstance(opened, Image.Image)
        kind = image_kind(data[:SIGNATURE_LENGTH])
        assert kind == {"MPO": "JPEG"}.get(str(opened.format), opened.format)
        kinds.add(kind)
    assert kinds == set(FORMATS)


@pytest.mark.parametrize("format_name", ["AVIF", "JPEG2000"])
def test_other_formats_that_pillow_writes_are_recognized(format_name: str) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(stream, format_name)
    kind = {"JPEG2000": "JPEG 2000"}.get(format_name, format_name)
    assert image_kind(stream.getvalue()[:SIGNATURE_LENGTH]) == kind


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL"),
        (b"8BPS\0\x01", "Photoshop"),
        (b"II+\0\x08\0", "TIFF"),
        (b"P5\n# a comment\n9 9 255\n", "PPM"),
    ],
)
def test_signature_is_recognized(start: bytes, kind: str) -> None:
    assert image_kind(start.ljust(SIGNATURE_LENGTH, b"\0")) == kind


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"\xff",
        b"BM as two letters of a text that is no bitmap",
        b"P1: the first paragraph",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41",
        b"\0\5\x16\7\0\2\0\0Mac OS X        ",
        b"%PDF-1.7",
        b"<!DOCTYPE html>",
        b"PK\3\4",
        json.dumps({"a": 1}).encode(),
    ],
)
def test_other_content_is_no_image(start: bytes) -> None:
    assert image_kind(start) is None
