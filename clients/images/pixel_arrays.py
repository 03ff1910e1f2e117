"""Arrays in: pixels whose colour order is stated, never guessed."""

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

_GRAY_HINT = "Give uint8 pixels of shape [height, width] or [height, width, 1]"
_BARE_HINT = f'{_GRAY_HINT}; of three channels, say their order: Pixels(array, "rgb")'
_COLOR_HINT = "Give uint8 pixels of shape [height, width, 3]"
_ORDER_HINT = 'Say Pixels(array, "rgb") (Pillow, imageio, Keras) or Pixels(array, "bgr") (OpenCV)'


@dataclass(frozen=True, eq=False)
class Pixels:
    """An array as an image, with the order of its channels: `Pixels(cv2.imread("cat.jpg"), "bgr")`.

    Attributes:
        array: uint8 `[height, width, 3]`, or `[height, width]` or `[height, width, 1]` in gray.
        order: `rgb`, `bgr` or `gray`.

    Raises:
        UsageError: If it is no NumPy array, or there is no such order.
    """

    array: Array
    order: Order

    def __post_init__(self) -> None:
        check_type("the array of Pixels", self.array, np.ndarray, "a NumPy array; files and Pillow images as they are")
        if self.order not in get_args(Order):
            raise UsageError(
                f"the order of channels is {self.order!r}", hint=f"Give one of {', '.join(get_args(Order))}"
            )


def image_of(pixels: Pixels | Array) -> Image.Image:
    """The image of an array; it does not follow changes of the array.

    Raises:
        ImageError: If it is no uint8 array of such a shape, or a bare one of three channels, whose order is unknown.
    """
    hint = _GRAY_HINT if isinstance(pixels, Pixels) else _BARE_HINT
    if not isinstance(pixels, Pixels):
        pixels = Pixels(pixels, _order_of_bare(pixels))
    array = _checked(pixels.array, pixels.order, hint)
    if pixels.order == "bgr":
        array = array[:, :, ::-1]
    return Image.fromarray(np.array(array, order="C"))  # of a gray array Pillow would share the caller's memory


def _order_of_bare(array: Array) -> Order:
    if array.ndim == 3 and array.shape[2] == 3:
        raise ImageError(
            f"an array of shape {list(array.shape)} may be RGB or BGR, and a wrong guess changes the answer",
            hint=_ORDER_HINT,
        )
    return "gray"


def _checked(array: Array, order: Order, gray_hint: str) -> Array:
    hint = gray_hint if order == "gray" else _COLOR_HINT
    if array.dtype != np.uint8:
        raise ImageError(f"the array holds {array.dtype}, not uint8", hint=hint)
    if array.size and order == "gray" and (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1)):
        return array.reshape(array.shape[:2])
    if array.size and order != "gray" and array.ndim == 3 and array.shape[2] == 3:
        return array
    raise ImageError(f"an array of shape {list(array.shape)} is no {order} image", hint=hint)
