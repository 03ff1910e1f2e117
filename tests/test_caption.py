"""The caption strip: size, color scale, and labels of any length and script."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFont

from camserve.caption import add_caption
from camserve.colormaps import color_table

TABLE = color_table("viridis")


def captioned(image: Image.Image, label: str = "fox", span: tuple[float, float] = (-1.25, 8.0)) -> Image.Image:
    return add_caption(image, label, "93.1%", span, TABLE, fallback="class 3")


def strip(image: Image.Image, label: str = "fox") -> Image.Image:
    result = captioned(image, label)
    return result.crop((0, image.height, *result.size))


@pytest.mark.parametrize("size", [(224, 224), (1024, 683), (300, 900), (160, 20)])
def test_the_strip_is_below_the_unchanged_image(size: tuple[int, int]) -> None:
    photo = Image.new("RGB", size, (10, 120, 30))
    result = captioned(photo)
    assert result.width == photo.width
    assert 0 < result.height - photo.height <= 128
    assert result.crop((0, 0, *photo.size)) == photo


@pytest.mark.parametrize("size", [(1, 1), (28, 28), (3, 500)])
def test_a_narrow_image_is_centered_above_a_readable_strip(size: tuple[int, int]) -> None:
    result = captioned(Image.new("RGB", size))
    assert result.width == 160
    left = (160 - size[0]) // 2
    assert result.crop((left, 0, left + size[0], size[1])) == Image.new("RGB", size)


def test_the_strip_contains_the_whole_color_scale() -> None:
    pixels = np.asarray(strip(Image.new("RGB", (640, 400)))).reshape(-1, 3).astype(int)
    for color in TABLE[::16].astype(int):
        assert np.abs(pixels - color).sum(axis=1).min() <= 6


def test_label_value_and_ends_of_the_scale_are_drawn() -> None:
    photo = Image.new("RGB", (224, 224))
    reference = captioned(photo)
    assert captioned(photo, label="cat") != reference
    assert captioned(photo, span=(-1.25, 9.0)) != reference
    assert captioned(photo, span=(-2.0, 8.0)) != reference
    assert add_caption(photo, "fox", "4.0%", (-1.25, 8.0), TABLE, fallback="class 3") != reference


def test_a_long_label_does_not_cover_the_value() -> None:
    photo = Image.new("RGB", (224, 20))
    right = (170, 0, 224, 24)
    assert strip(photo, "a very long name of a class " * 9).crop(right) == strip(photo).crop(right)


@pytest.mark.parametrize("label", ["猫", "кошка", "قطة", "😀 cat", "a\nb", "\u202ecat", "", "\ud800"])
def test_a_label_of_any_script_is_drawn(label: str) -> None:
    assert captioned(Image.new("RGB", (224, 20)), label).size[0] == 224


def test_a_label_without_glyphs_becomes_ascii_or_the_class(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_font(*_: object) -> object:
        raise OSError("cannot open resource")

    monkeypatch.setattr(ImageFont, "truetype", no_font)
    photo = Image.new("RGB", (224, 20))
    assert strip(photo, "caf\u00e9") == strip(photo, "cafe")
    assert strip(photo, "猫") == strip(photo, "class 3")
