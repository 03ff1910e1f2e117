"""Pixels to tensor: what Keras's `load_img`, `img_to_array` and `preprocess_input` do, bit for bit, from a contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from camserve.contract import Fit, ModelContract
from camserve.errors import ImageError
from camserve.pixels import normalize

__all__ = ["fit_image", "prepare", "to_tensor"]

Tensor = np.ndarray[Any, Any]

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}

_GRAY_MODES = ("L", "I;16", "I")
"""Modes that `load_img(color_mode="grayscale")` leaves alone; the last two hold 16 bits."""


def prepare(image: Image.Image, contract: ModelContract) -> Tensor:
    """Makes the network's input from a decoded picture.

    Law: for a contract that says what a Keras pipeline does, the difference from that pipeline is 0.0.

    Returns:
        `[height, width, channels]` in the contract's channel order and data type: float32 after the arithmetic, or
        the pixels as they are (RGB or gray) where the graph does the arithmetic itself.

    Raises:
        ImageError: If the picture cannot be fitted to the input.
    """
    return to_tensor(fit_image(image, contract), contract)


def fit_image(image: Image.Image, contract: ModelContract) -> Image.Image:
    """The picture as the network sees it: RGB or gray, of the input's height and width.

    Raises:
        ImageError: If it is too small for `crop-only`, too narrow for `center-crop`, or cannot be resized in its mode.
    """
    colored = _as_gray(image) if contract.preprocessing.color == "gray" else _as_rgb(image)
    size = (contract.width, contract.height)
    if colored.size == size:
        return colored
    try:
        return _FITTERS[contract.preprocessing.fit](colored, size, _FILTERS[contract.preprocessing.resize])
    except ValueError as error:
        raise ImageError(
            f"a picture of {image.width} x {image.height} pixels in mode {image.mode} cannot be resized to "
            f"{contract.width} x {contract.height} with {contract.preprocessing.resize}: {error}",
            hint="Convert it to 8-bit RGB or gray, or choose another picture",
        ) from error


def to_tensor(picture: Image.Image, contract: ModelContract) -> Tensor:
    """The tensor of a picture that `fit_image` made; see `prepare`."""
    pixels = np.asarray(picture).reshape(contract.input.shape)
    if contract.input.dtype == "UINT8":
        return _as_bytes(pixels)
    if contract.preprocessing.in_graph:
        return pixels.astype(np.float32)
    return normalize(pixels, contract.preprocessing)


def _as_bytes(pixels: Tensor) -> Tensor:
    if pixels.dtype != np.uint8:
        raise ImageError("a picture of 16 bits does not fit an input of 8 bits", hint="Convert it to 8 bits")
    return np.ascontiguousarray(pixels)


def _as_rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _as_gray(image: Image.Image) -> Image.Image:
    return image if image.mode in _GRAY_MODES else image.convert("L")


def _stretch(image: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    return image.resize(size, resample)


def _center_crop(image: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    """The largest centred part of the target's aspect ratio, resized, with the rounding of `keep_aspect_ratio`."""
    crop_width = min(image.width, (image.height * size[0]) // size[1])
    crop_height = min(image.height, (image.width * size[1]) // size[0])
    if not (crop_width and crop_height):  # Pillow would interpolate nothing and call it a picture
        raise ValueError("no part of it has the aspect ratio of the input")
    left, top = (image.width - crop_width) // 2, (image.height - crop_height) // 2
    return image.resize(size, resample, box=(left, top, left + crop_width, top + crop_height))


def _crop_only(image: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:  # noqa: ARG001
    """The centre at `side // 2`, so that no pixel is interpolated and none is invented."""
    if image.width < size[0] or image.height < size[1]:
        raise ImageError(
            f"a picture of {image.width} x {image.height} pixels is smaller than the crop of {size[0]} x {size[1]} "
            "that the model takes from it",
            hint="Give the original picture: this model must not see resized pixels",
        )
    left, top = image.width // 2 - size[0] // 2, image.height // 2 - size[1] // 2
    return image.crop((left, top, left + size[0], top + size[1]))


_FITTERS: dict[Fit, Callable[[Image.Image, tuple[int, int], Image.Resampling], Image.Image]] = {
    "stretch": _stretch,
    "center-crop": _center_crop,
    "crop-only": _crop_only,
}
