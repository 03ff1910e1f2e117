"""Pixels to tensor: what Keras's `load_img`, `img_to_array` and `preprocess_input` do, bit for bit, from a contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from camserve.clients.images.colors import in_colors_of
from camserve.clients.images.placement import Box, Fitted, Placement
from camserve.contract import Fit, ModelContract
from camserve.errors import ImageError
from camserve.pixels import normalize

__all__ = ["centre_box", "fit_image", "prepare", "to_tensor"]

Tensor = np.ndarray[Any, Any]
Size = tuple[int, int]

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}


def prepare(image: Image.Image, contract: ModelContract) -> Tensor:
    """Makes the network's input from a decoded image.

    Law: for a contract that says what a Keras pipeline does, the difference from that pipeline is 0.0, in every mode
    that `camserve.clients.images.colors` reads as Keras does.

    Returns:
        A tensor `[height, width, channels]` in the contract's channel order and data type, which is float32 after the
        arithmetic, or the pixels as they are (RGB or gray) where the graph does the arithmetic itself.

    Raises:
        ImageError: If the image cannot be fitted to the input.
    """
    return to_tensor(fit_image(image, contract).image, contract)


def fit_image(image: Image.Image, contract: ModelContract) -> Fitted:
    """The image as the network sees it: RGB or gray, of the input's height and width.

    Raises:
        ImageError: If it is too small for `crop-only`, too narrow for `center-crop`, or of a mode without an exact
            8-bit form.
    """
    size = (contract.width, contract.height)
    box = _BOXES[contract.preprocessing.fit](image.size, size)
    colored = in_colors_of(contract.preprocessing, image)
    if box[2] - box[0] == size[0] and box[3] - box[1] == size[1]:
        fitted = colored.crop(box)  # a new image in any case, so that the caller may draw on theirs
    else:
        fitted = colored.resize(size, _FILTERS[contract.preprocessing.resize], box=box)
    return Fitted(fitted, Placement((image.height, image.width), box))


def to_tensor(image: Image.Image, contract: ModelContract) -> Tensor:
    """The tensor of an image that `fit_image` made; see `prepare`."""
    pixels = _pixels_of(image, contract).reshape(contract.input.shape)
    if contract.input.dtype == "UINT8":
        return np.ascontiguousarray(pixels)
    if contract.preprocessing.in_graph:
        return pixels.astype(np.float32)
    return normalize(pixels, contract.preprocessing)


def _pixels_of(image: Image.Image, contract: ModelContract) -> Tensor:
    """RGB or gray; for a network that takes BGR, RGB seen from behind, so that to turn it round moves nothing."""
    if contract.preprocessing.color != "bgr" or contract.preprocessing.in_graph:
        return np.asarray(image)
    turned = np.frombuffer(image.tobytes("raw", "BGR"), np.uint8)
    return turned.reshape(image.height, image.width, 3)[:, :, ::-1]


def centre_box(whole: Size, size: Size) -> Box:
    """The centre at `side // 2`, so that no pixel is interpolated and none is invented.

    Args:
        whole: Width and height of the image.
        size: Width and height of the crop.

    Raises:
        ImageError: If the image is smaller.
    """
    if whole[0] < size[0] or whole[1] < size[1]:
        raise ImageError(
            f"an image of {whole[0]} x {whole[1]} pixels is smaller than the crop of {size[0]} x {size[1]} "
            "that the model takes from it",
            hint="Give the original image: this model must not see resized pixels",
        )
    left, top = whole[0] // 2 - size[0] // 2, whole[1] // 2 - size[1] // 2
    return (left, top, left + size[0], top + size[1])


def _whole_box(whole: Size, size: Size) -> Box:  # noqa: ARG001
    return (0, 0, *whole)


def _largest_box(whole: Size, size: Size) -> Box:
    """The largest centred part of the target's aspect ratio, with the rounding of Keras's `keep_aspect_ratio`."""
    width = min(whole[0], (whole[1] * size[0]) // size[1])
    height = min(whole[1], (whole[0] * size[1]) // size[0])
    if not (width and height):  # Pillow would interpolate nothing and call it an image
        raise ImageError(
            f"no part of an image of {whole[0]} x {whole[1]} pixels has the aspect ratio of {size[0]} x {size[1]}",
            hint="Give an image that is less narrow",
        )
    left, top = (whole[0] - width) // 2, (whole[1] - height) // 2
    return (left, top, left + width, top + height)


_BOXES: dict[Fit, Callable[[Size, Size], Box]] = {
    "stretch": _whole_box,
    "center-crop": _largest_box,
    "crop-only": centre_box,
}
