"""Images of every mode converted to 8-bit RGB and gray."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from support.image_files import png, save, sixteen_bit_png, tiff, twelve_bit_tiff

from camserve.contract import Preprocessing
from camserve.errors import ImageError
from camserve.images.colors import to_colors_of
from camserve.images.loading import load_image

RGB = Preprocessing()
GRAY = Preprocessing(color="gray", scale=(1.0,), mean=(0.0,), std=(1.0,))

WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (255, 0, 0)


def row(mode: str, values: Sequence[Any]) -> Image.Image:
    """Make an image of one row."""
    image = Image.new(mode, (len(values), 1))
    image.putdata(values)
    return image


def palette(mode: str, *colors: tuple[int, int, int], transparent: bytes | int | None = None) -> Image.Image:
    image = row("P", range(len(colors)))
    image.putpalette([value for color in colors for value in color])
    if mode == "PA":
        return image.convert("PA")
    if transparent is not None:
        image.info["transparency"] = transparent
    return image


# For each image, the expected RGB and gray values.
GOLDEN: dict[str, tuple[Image.Image, list[tuple[int, int, int]], list[int]]] = {
    "1": (row("1", [0, 255]), [BLACK, WHITE], [0, 255]),
    "L": (row("L", [0, 100, 255]), [BLACK, (100, 100, 100), WHITE], [0, 100, 255]),
    "LA": (row("LA", [(100, 0), (200, 255)]), [(100, 100, 100), (200, 200, 200)], [100, 200]),
    "P": (palette("P", RED, (0, 128, 0)), [RED, (0, 128, 0)], [76, 75]),
    "P, one transparent": (palette("P", RED, (0, 128, 0), transparent=0), [RED, (0, 128, 0)], [76, 75]),
    "P, by alpha": (palette("P", RED, (0, 128, 0), transparent=b"\x00\x80"), [RED, (0, 128, 0)], [76, 75]),
    "PA": (palette("PA", RED, (0, 128, 0)), [RED, (0, 128, 0)], [76, 75]),
    "RGB": (row("RGB", [RED, (10, 20, 30)]), [RED, (10, 20, 30)], [76, 18]),
    "RGB, one transparent": (row("RGB", [RED, (10, 20, 30)]), [RED, (10, 20, 30)], [76, 18]),
    "RGBA": (row("RGBA", [(255, 0, 0, 0), (10, 20, 30, 255)]), [RED, (10, 20, 30)], [76, 18]),
    "CMYK": (
        row("CMYK", [(0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 128), (128, 64, 0, 64)]),
        [WHITE, (0, 255, 255), (127, 127, 127), (95, 143, 191)],
        [255, 179, 127, 134],
    ),
    "YCbCr": (
        row("YCbCr", [(128, 128, 128), (76, 85, 255), (150, 44, 21)]),
        [(128, 128, 128), (254, 0, 0), (0, 255, 1)],
        [128, 76, 150],
    ),
    "I": (
        row("I", [0, 128, 129, 257, 40_000, 65_535]),
        [BLACK, BLACK, BLACK, (1, 1, 1), (156, 156, 156), WHITE],
        [0, 0, 0, 1, 156, 255],
    ),
}
for _name in ("I;16", "I;16L", "I;16B"):
    _wide = np.array([[0, 128, 129, 257, 40_000, 65_535]], ">u2" if _name == "I;16B" else "<u2")
    GOLDEN[_name] = (Image.frombytes(_name, (6, 1), _wide.tobytes()), *GOLDEN["I"][1:])
GOLDEN["RGB, one transparent"][0].info["transparency"] = (255, 0, 0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", GOLDEN)
def test_every_mode_has_its_golden_colors(name: str) -> None:
    image, rgb, gray = GOLDEN[name]
    before = image.copy()
    assert image.mode == name.split(",", maxsplit=1)[0]
    assert np.asarray(to_colors_of(RGB, image))[0].tolist() == [list(color) for color in rgb]
    assert np.asarray(to_colors_of(GRAY, image))[0].tolist() == gray
    assert (image.mode, image.info, image.tobytes()) == (before.mode, before.info, before.tobytes())


def test_a_transparent_palette_is_converted_without_a_warning() -> None:
    image = GOLDEN["P, by alpha"][0]
    with pytest.warns(UserWarning, match="Palette images with Transparency"):
        image.convert("RGB")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_colors_of(RGB, load_image(save(image, "PNG")))


def test_twelve_bits_are_scaled_by_their_depth() -> None:
    values = np.array([[0, 15, 16, 2048, 4094, 4095]])
    image = load_image(twelve_bit_tiff(values))
    decoded = cv2.imdecode(np.frombuffer(twelve_bit_tiff(values), np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(np.asarray(image), decoded)
    assert np.asarray(to_colors_of(GRAY, image)).tolist() == [[0, 0, 1, 128, 255, 255]]


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_sixteen_bits_with_white_as_zero_are_inverted(compression: str | None) -> None:
    values = np.array([[0, 129, 40_000, 65_535]], np.uint16)
    data = save(Image.fromarray(values), "TIFF", compression=compression, tiffinfo={262: 0})
    pixels = np.asarray(to_colors_of(GRAY, load_image(data)))
    assert pixels.tolist() == [[255, 255, 99, 0]]
    assert np.array_equal(pixels, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE))


def test_deep_gray_equals_that_of_tensorflow_and_opencv() -> None:
    values = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    data = save(Image.fromarray(values), "PNG")
    pixels = np.asarray(to_colors_of(RGB, load_image(data)))
    assert np.array_equal(pixels, tf.io.decode_image(data, channels=3))
    assert np.array_equal(pixels, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


@pytest.mark.parametrize("dtype", [np.int32, np.int16])
def test_gray_of_unknown_range_is_refused(dtype: Any) -> None:
    body = np.full((4, 8), 4000, dtype).tobytes()
    with pytest.raises(
        ImageError, match=rf"has signed gray pixels of {np.dtype(dtype).itemsize * 8} bits, whose range"
    ):
        load_image(tiff(8, 4, body, compression=1, bits=np.dtype(dtype).itemsize * 8, more=(*strip(body), (339, 2))))


def strip(body: bytes) -> tuple[tuple[int, int], ...]:
    return ((273, 8), (278, 4), (279, len(body)))


def test_upper_eight_of_sixteen_bits_are_kept() -> None:
    values = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    expected = values >> 8
    for image in (Image.fromarray(values), Image.fromarray(values.astype(np.int32))):
        assert np.array_equal(np.asarray(to_colors_of(GRAY, image)), expected)
        assert np.array_equal(np.asarray(to_colors_of(RGB, image))[:, :, 1], expected)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "PPM"])
def test_files_of_sixteen_bits_are_scaled(file_format: str) -> None:
    values = np.array([[0, 129, 40_000, 65_535]], np.int32 if file_format == "PPM" else np.uint16)
    image = load_image(save(Image.fromarray(values), file_format))
    assert np.asarray(to_colors_of(GRAY, image)).tolist() == [[0, 0, 156, 255]]


def test_sixteen_bit_colors_keep_their_upper_eight_bits() -> None:
    image = load_image(sixteen_bit_png())
    assert image.mode == "RGB"
    assert np.asarray(to_colors_of(RGB, image))[0, 0].tolist() == [0, 2, 4]
    white = load_image(png(1, 1, b"\0" + b"\xff" * 6, depth=16))
    assert np.asarray(to_colors_of(RGB, white)).tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize("values", [[-1, 5], [0, 65_536]])
def test_more_than_sixteen_bits_are_refused(values: list[int]) -> None:
    for color in (RGB, GRAY):
        with pytest.raises(ImageError, match=f"with values from {values[0]} to {values[1]}"):
            to_colors_of(color, row("I", values))


@pytest.mark.parametrize("file_format", ["TIFF", "PPM"])
def test_floating_point_is_refused(file_format: str) -> None:
    image = load_image(save(row("F", [0.0, 0.5, 1.0]), file_format))
    assert image.mode == "F"
    for color in (RGB, GRAY):
        with pytest.raises(ImageError, match="range of values is unknown") as caught:
            to_colors_of(color, image)
        assert caught.value.hint


@pytest.mark.parametrize(
    "mode",
    ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "RGBX", "RGBa", "La", "I;16N"],
)
def test_every_other_mode_is_converted_or_refused(mode: str) -> None:
    image = Image.new(mode, (3, 2))
    for color, expected in ((RGB, "RGB"), (GRAY, "L")):
        try:
            found = to_colors_of(color, image)
        except ImageError:
            assert mode in {"F", "HSV", "LAB", "RGBa", "La"}
        else:
            assert (found.mode, found.size) == (expected, (3, 2))
