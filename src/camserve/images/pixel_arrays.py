"""Convert arrays with an explicit channel order to images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from camserve.argument_checks import check_type
from camserve.errors import ImageError, UsageError

__all__ = ["Order", "Pixels", "image_of"]

Array = np.ndarray[Any, Any]
Order = Literal["rgb", "bgr", "gray"]

_GRAY_HINT = "Pass uint8 pixels of shape [height, width] or [height, width, 1]"
_BARE_HINT = f'{_GRAY_HINT}, or state the order of three channels: Pixels(array, "rgb")'
_COLOR_HINT = "Pass uint8 pixels of shape [height, width, 3]"
_ORDER_HINT = 'Pass Pixels(array, "rgb") (Pillow, imageio, Keras) or Pixels(array, "bgr") (OpenCV)'


@dataclass(frozen=True, eq=False)
class Pixels:
    """An array with the order of its channels: `Pixels(cv2.imread("cat.jpg"), "bgr")`.

    Attributes:
        array: uint8 `[height, width, 3]`, or for gray `[height, width]` or `[height, width, 1]`.
        order: `rgb`, `bgr` or `gray`.

    Raises:
        UsageError: If it is not a NumPy array, or the order is unknown.
    """

    array: Array
    order: Order

    def __post_init__(self) -> None:
        check_type(
            "the array of Pixels", self.array, np.ndarray, "a NumPy array; files and Pillow images need no Pixels"
        )
        if self.order not in get_args(Order):
            raise UsageError(
                f"unknown channel order {self.order!r}", hint=f"Choose one of {', '.join(get_args(Order))}"
            )


def image_of(pixels: Pixels | Array) -> Image.Image:
    """Convert an array to an image, which does not share its memory.

    Raises:
        ImageError: If type or shape are unsupported, or an array of three channels is passed without their order.
    """
    hint = _GRAY_HINT if isinstance(pixels, Pixels) else _BARE_HINT
    if not isinstance(pixels, Pixels):
        pixels = Pixels(pixels, _default_order(pixels))
    array = _checked(pixels.array, pixels.order, hint)
    if pixels.order == "bgr":
        array = array[:, :, ::-1]
    return Image.fromarray(np.array(array, order="C"))  # without a copy, Pillow would share the memory of a gray array


def _default_order(array: Array) -> Order:
    if array.ndim == 3 and array.shape[2] == 3:
        raise ImageError(
            f"an array of shape {list(array.shape)} may be RGB or BGR, and the wrong order changes the result",
            hint=_ORDER_HINT,
        )
    return "gray"


def _checked(array: Array, order: Order, gray_hint: str) -> Array:
    hint = gray_hint if order == "gray" else _COLOR_HINT
    if array.dtype != np.uint8:
        raise ImageError(f"the array must be uint8, got {array.dtype}", hint=hint)
    if array.size and order == "gray" and (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1)):
        return array.reshape(array.shape[:2])
    if array.size and order != "gray" and array.ndim == 3 and array.shape[2] == 3:
        return array
    raise ImageError(f"an array of shape {list(array.shape)} is not a {order} image", hint=hint)
