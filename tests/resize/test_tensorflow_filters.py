"""The TensorFlow filters against `tf.image.resize` itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from support.resizing import SIZES, noise, photo, source_of

from camserve.resize import tensorflow_filters

METHODS: dict[str, Callable[[Any, int, int], Any]] = {
    "nearest": tensorflow_filters.nearest,
    "bilinear": tensorflow_filters.bilinear,
    "bicubic": tensorflow_filters.bicubic,
    "area": tensorflow_filters.area,
}


def resized_by_tensorflow(pixels: np.ndarray[Any, Any], size: tuple[int, int], method: str) -> np.ndarray[Any, Any]:
    return np.asarray(tf.image.resize(pixels, size, method=method))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("source", "target"), SIZES)
def test_filters_equal_tensorflow(method: str, channels: int, source: tuple[int, int], target: tuple[int, int]) -> None:
    pixels = noise(source, channels)
    expected = resized_by_tensorflow(pixels, target, method)
    actual = METHODS[method](source_of(pixels), *target)
    assert actual.dtype == expected.dtype
    assert np.array_equal(actual, expected)


@pytest.mark.parametrize("method", METHODS)
def test_filters_equal_tensorflow_on_a_photo(method: str) -> None:
    assert np.array_equal(
        METHODS[method](source_of(photo()), 224, 224), resized_by_tensorflow(photo(), (224, 224), method)
    )


def test_another_filter_is_noticed() -> None:
    pixels = noise((480, 640), 3)
    assert not np.array_equal(
        tensorflow_filters.bilinear(source_of(pixels), 224, 224), resized_by_tensorflow(pixels, (224, 224), "area")
    )
