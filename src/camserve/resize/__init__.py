"""Resize filters of TensorFlow and OpenCV, each bit-equal to its library, which need not be installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt
from PIL import Image

from camserve.contract import ResizeFilter
from camserve.resize import opencv_filters, tensorflow_filters
from camserve.resize.layout import Source

__all__ = ["NUMPY_FILTERS", "resize_image"]

NUMPY_FILTERS: Mapping[ResizeFilter, Callable[[Source, int, int], npt.NDArray[Any]]] = {
    "tf-nearest": tensorflow_filters.nearest,
    "tf-bilinear": tensorflow_filters.bilinear,
    "tf-bicubic": tensorflow_filters.bicubic,
    "tf-area": tensorflow_filters.area,
    "cv2-nearest": opencv_filters.nearest,
    "cv2-linear": opencv_filters.linear,
    "cv2-area": opencv_filters.area,
}
"""The filters that Pillow does not have: image, height and width to resized pixels."""


def resize_image(image: Image.Image, size: tuple[int, int], resize: ResizeFilter) -> npt.NDArray[Any]:
    """Resize an image with a filter of `NUMPY_FILTERS`.

    Args:
        image: RGB or gray (mode L).
        size: Height and width of the result, in pixels.
        resize: The filter.

    Returns:
        `[*size, channels]`, uint8, or float32 with fractions for `tf-bilinear`, `tf-bicubic` and `tf-area`.
    """
    return NUMPY_FILTERS[resize](Source(image), *size)
