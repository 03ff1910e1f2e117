"""Draw a caption below an image: a label, a value, and the color scale of a map."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = ["add_caption"]

Array = np.ndarray[Any, Any]

_MIN_WIDTH = 160
"""Narrower images are centered on a strip of this width, so that the caption is readable."""

_MIN_TEXT, _MAX_TEXT = 12, 28
_PIXELS_PER_TEXT = 32  # width of the image for each pixel of text height
_BACKGROUND, _TEXT, _FRAME = (255, 255, 255), (32, 32, 32), (160, 160, 160)
_NO_CHARACTER = "\U0010ffff"  # drawn by every font as the sign for a missing glyph


def add_caption(
    image: Image.Image, label: str, value: str, span: tuple[float, float], table: Array, *, fallback: str
) -> Image.Image:
    """Return an image with a strip below it: label and value, and the color scale with its lowest and highest value.

    Args:
        image: RGB image.
        label: Text on the left; it is shortened to the width of the image.
        value: Text on the right, such as a probability; ASCII.
        span: The values of the first and the last color.
        table: The colors, uint8 `[256, 3]` in RGB.
        fallback: ASCII text in place of a label whose characters no available font contains.
    """
    width = max(image.width, _MIN_WIDTH)
    height = min(max(width // _PIXELS_PER_TEXT, _MIN_TEXT), _MAX_TEXT)
    line, margin = round(1.5 * height), height // 2
    result = Image.new("RGB", (width, image.height + 2 * line + 2 * margin), _BACKGROUND)
    result.paste(image, ((width - image.width) // 2, 0))
    draw = ImageDraw.Draw(result)
    text, font = _drawable(label, height, fallback)
    plain = _default_font(height)
    middle = image.height + margin + line // 2
    available = width - 2 * margin - int(plain.getlength(value)) - height
    draw.text((margin, middle), _shortened(text, font, available), _TEXT, font, anchor="lm")
    draw.text((width - margin, middle), value, _TEXT, plain, anchor="rm")
    low, high = (f"{number:.3g}" for number in span)
    middle += line
    draw.text((margin, middle), low, _TEXT, plain, anchor="lm")
    draw.text((width - margin, middle), high, _TEXT, plain, anchor="rm")
    left = margin + int(plain.getlength(low)) + margin
    right = width - margin - int(plain.getlength(high)) - margin
    if right > left:
        scale = Image.fromarray(table[np.newaxis]).resize((right - left, height), Image.Resampling.BILINEAR)
        top = middle - height // 2
        result.paste(scale, (left, top))
        draw.rectangle((left - 1, top - 1, right, top + height), outline=_FRAME)
    return result


def _drawable(label: str, height: int, fallback: str) -> tuple[str, Any]:
    """Return the text to draw and a font that contains its characters: the label, its ASCII form, or the fallback."""
    plain = _default_font(height)
    for font in (plain, *_system_fonts(height)):
        if _contains(font, label):
            return label, font
    ascii_form = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode()
    return (ascii_form if len(ascii_form) >= len(label) else fallback), plain


def _contains(font: Any, text: str) -> bool:
    missing = bytes(font.getmask(_NO_CHARACTER))
    return text.isprintable() and all(char == " " or bytes(font.getmask(char)) != missing for char in set(text))


def _shortened(text: str, font: Any, available: int) -> str:
    if font.getlength(text) <= available:
        return text
    while text and font.getlength(f"{text}...") > available:
        text = text[:-1]
    return f"{text.rstrip()}..."


@lru_cache(maxsize=8)
def _default_font(height: int) -> Any:
    return ImageFont.load_default(height)


def _system_fonts(height: int) -> Iterator[Any]:
    """Yield a font with more characters than Pillow's own, which contains ASCII only, if the system has one."""
    with suppress(OSError):
        yield ImageFont.truetype("DejaVuSans.ttf", height)
