"""The OpenCV filters against `cv2.resize` itself."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from support.resizing import SIZES, noise, photo, source_of

from camserve.resize import opencv_filters

FILTERS = {
    "nearest": (opencv_filters.nearest, cv2.INTER_NEAREST),
    "linear": (opencv_filters.linear, cv2.INTER_LINEAR),
    "area": (opencv_filters.area, cv2.INTER_AREA),
}


def resized_by_opencv(pixels: np.ndarray[Any, Any], size: tuple[int, int], interpolation: int) -> np.ndarray[Any, Any]:
    return np.asarray(cv2.resize(pixels, size[::-1], interpolation=interpolation)).reshape(*size, -1)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("source", "target"), SIZES)
def test_filters_equal_opencv(name: str, channels: int, source: tuple[int, int], target: tuple[int, int]) -> None:
    resize, interpolation = FILTERS[name]
    pixels = noise(source, channels)
    actual = resize(source_of(pixels), *target)
    assert actual.dtype == np.uint8
    assert np.array_equal(actual, resized_by_opencv(pixels, target, interpolation))


@pytest.mark.parametrize("name", FILTERS)
def test_filters_equal_opencv_on_a_photo(name: str) -> None:
    resize, interpolation = FILTERS[name]
    assert np.array_equal(resize(source_of(photo()), 224, 224), resized_by_opencv(photo(), (224, 224), interpolation))


def test_another_filter_is_noticed() -> None:
    pixels = noise((480, 640), 3)
    assert not np.array_equal(
        opencv_filters.linear(source_of(pixels), 224, 224), resized_by_opencv(pixels, (224, 224), cv2.INTER_AREA)
    )
