"""Arrays with an explicit channel order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from camserve.errors import ImageError, UsageError
from camserve.images.decode_options import DecodeOptions
from camserve.images.loading import load_image
from camserve.images.pixel_arrays import Pixels

COLOR = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
GRAY = COLOR[:, :, 0]


def test_the_channel_order_is_applied() -> None:
    assert np.array_equal(np.asarray(load_image(Pixels(COLOR, "rgb"))), COLOR)
    assert np.array_equal(np.asarray(load_image(Pixels(COLOR[:, :, ::-1], "bgr"))), COLOR)
    assert np.array_equal(np.asarray(load_image(Pixels(COLOR[::2, ::-1], "rgb"))), COLOR[::2, ::-1])


def test_a_gray_array_needs_no_order() -> None:
    for array in (GRAY, GRAY[:, :, np.newaxis]):
        for source in (array, Pixels(array, "gray")):
            assert load_image(source).mode == "L"
            assert np.array_equal(np.asarray(load_image(source)), GRAY)


def test_an_array_of_three_channels_requires_its_order() -> None:
    with pytest.raises(ImageError, match=r'may be RGB or BGR.*Pixels\(array, "rgb"\).*Pixels\(array, "bgr"\)'):
        load_image(COLOR)


@pytest.mark.parametrize("order", ["rgb", "bgr", "gray"])
def test_the_image_does_not_share_memory_with_the_array(order: Any) -> None:
    array = np.zeros((4, 4) if order == "gray" else (4, 4, 3), np.uint8)
    image = load_image(Pixels(array, order))
    array[:] = 255
    assert np.asarray(image).max() == 0


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 3), np.int64),
        np.zeros((4, 4, 3), np.uint16),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((4,), np.uint8),
        np.zeros((), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 0), np.uint8),
        np.zeros((4, 4), object),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray[Any, Any]) -> None:
    for order, shape in (("rgb", r"\[height, width, 3\]"), ("gray", r"\[height, width\] or \[height, width, 1\]")):
        with pytest.raises(ImageError, match=rf"uint8 pixels of shape {shape}"):
            load_image(Pixels(array, order))  # type: ignore[arg-type]
    with pytest.raises(ImageError):
        load_image(array)


def test_the_order_must_match_the_channels() -> None:
    for array, order in ((GRAY, "rgb"), (GRAY, "bgr"), (COLOR, "gray")):
        with pytest.raises(ImageError, match=f"is not a {order} image"):
            load_image(Pixels(array, order))  # type: ignore[arg-type]


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'RGB'.*rgb, bgr, gray"):
        Pixels(COLOR, "RGB")  # type: ignore[arg-type]


def test_the_limit_of_pixels_applies_to_arrays() -> None:
    for source in (Pixels(COLOR, "bgr"), GRAY):
        assert load_image(source, DecodeOptions(max_pixels=35)).size == (7, 5)
        with pytest.raises(ImageError, match="7 x 5 pixels, more than 34"):
            load_image(source, DecodeOptions(max_pixels=34))
