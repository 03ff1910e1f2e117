"""Preprocess images as a contract defines, bit for bit like Keras's `load_img` and `preprocess_input`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from camserve.contract import Fit, ModelContract
from camserve.errors import ImageError
from camserve.images.colors import to_colors_of
from camserve.images.memory import enough_memory
from camserve.images.placement import Box, Fitted, Placement
from camserve.pixels import normalize
from camserve.resize import NUMPY_FILTERS, resize_image

__all__ = ["center_box", "fit_image", "prepare", "to_tensor"]

Tensor = np.ndarray[Any, Any]
Size = tuple[int, int]

_PILLOW_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}


def prepare(image: Image.Image, contract: ModelContract) -> Tensor:
    """Preprocess a decoded image for the network.

    Law: if the contract describes a Keras pipeline, the result equals that of the pipeline, in every mode that
    `camserve.images.colors` converts as Keras does.

    Returns:
        A tensor `[height, width, channels]` in the channel order and data type of the contract: float32 after the
        arithmetic, or the unchanged pixels (RGB or gray) if the graph contains the arithmetic.

    Raises:
        ImageError: If the image cannot be resized to the input, or there is not enough memory.
    """
    with enough_memory("the image"):
        return to_tensor(fit_image(image, contract), contract)


def fit_image(image: Image.Image, contract: ModelContract) -> Fitted:
    """Convert an image to RGB or gray, of the height and width of the network's input.

    The contract determines colors, resize filter and fit; its arithmetic is not applied.

    Raises:
        ImageError: If it is too small for `crop-only` or too narrow for `center-crop`, or its mode cannot be converted
            to 8 bits exactly.
    """
    preprocessing, size = contract.preprocessing, (contract.width, contract.height)
    box = _BOXES[preprocessing.fit](image.size, size)
    placement = Placement((image.height, image.width), box)
    colored = to_colors_of(preprocessing, image)
    if box[2] - box[0] == size[0] and box[3] - box[1] == size[1]:
        return Fitted(colored.crop(box), placement)  # always a copy, so that the caller may modify the original
    if preprocessing.resize not in NUMPY_FILTERS:
        return Fitted(colored.resize(size, _PILLOW_FILTERS[preprocessing.resize], box=box), placement)
    part = colored if box == (0, 0, *colored.size) else colored.crop(box)
    resized = resize_image(part, size[::-1], preprocessing.resize)
    if preprocessing.gives_fractions:
        return Fitted(resized, placement)
    return Fitted(Image.fromarray(resized[:, :, 0] if resized.shape[2] == 1 else resized), placement)


def to_tensor(fitted: Fitted, contract: ModelContract) -> Tensor:
    """Convert an image from `fit_image` to the tensor; see `prepare`."""
    if isinstance(fitted.pixels, np.ndarray) and contract.input.dtype == "FP32":
        return normalize(fitted.pixels, contract.preprocessing)
    pixels = _pixels_of(fitted.image, contract).reshape(contract.input.shape)
    if contract.input.dtype == "UINT8":
        return np.ascontiguousarray(pixels)
    return normalize(pixels, contract.preprocessing)


def _pixels_of(image: Image.Image, contract: ModelContract) -> Tensor:
    """Return RGB or gray pixels; for BGR networks, as a reversed view, so that the next reversal needs no copy."""
    if contract.preprocessing.color != "bgr" or contract.preprocessing.in_graph:
        return np.asarray(image)
    reversed_ = np.frombuffer(image.tobytes("raw", "BGR"), np.uint8)
    return reversed_.reshape(image.height, image.width, 3)[:, :, ::-1]


def center_box(whole: Size, size: Size) -> Box:
    """Return the box of the central crop, at `side // 2`, without interpolation or padding.

    Args:
        whole: Width and height of the image.
        size: Width and height of the crop.

    Raises:
        ImageError: If the image is smaller than the crop.
    """
    if whole[0] < size[0] or whole[1] < size[1]:
        raise ImageError(
            f"the image of {whole[0]} x {whole[1]} pixels is smaller than the model's crop of {size[0]} x {size[1]}",
            hint="Pass the original image: this model must not receive resized pixels",
        )
    left, top = whole[0] // 2 - size[0] // 2, whole[1] // 2 - size[1] // 2
    return (left, top, left + size[0], top + size[1])


def _whole_box(whole: Size, size: Size) -> Box:  # noqa: ARG001
    return (0, 0, *whole)


def _largest_box(whole: Size, size: Size) -> Box:
    """Return the largest central box with the aspect ratio of the input, rounded like Keras's `keep_aspect_ratio`."""
    width = min(whole[0], (whole[1] * size[0]) // size[1])
    height = min(whole[1], (whole[0] * size[1]) // size[0])
    if not (width and height):  # Pillow would return an image without an error
        raise ImageError(
            f"the image of {whole[0]} x {whole[1]} pixels has no center crop with the aspect ratio of "
            f"{size[0]} x {size[1]}: one side would be less than a pixel",
            hint="Pass a larger image, or export the model with: camserve export --fit stretch",
        )
    left, top = (whole[0] - width) // 2, (whole[1] - height) // 2
    return (left, top, left + width, top + height)


_BOXES: dict[Fit, Callable[[Size, Size], Box]] = {
    "stretch": _whole_box,
    "center-crop": _largest_box,
    "crop-only": center_box,
}
