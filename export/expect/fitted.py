"""Images of the size of the network's input, as pipelines decode and resize them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from camserve.export.frameworks import tf

import numpy as np
import numpy.typing as npt
from PIL import Image

from camserve.contract import ColorOrder, ModelContract, Preprocessing, TensorSpec
from camserve.errors import ImageError, UsageError
from camserve.export.expect.candidates import Candidate
from camserve.images.colors import to_colors_of
from camserve.images.loading import load_image
from camserve.images.preprocess import fit_image
from camserve.tensors import IMAGE, PROBABILITIES

__all__ = ["Decoder", "decoders_of", "fit_images", "load_images"]

Array = npt.NDArray[Any]
Decoder = Literal["pillow", "tensorflow"]
"""The decoder of JPEG files. TensorFlow's differs slightly from Pillow's, which clients and Keras's `load_img` use."""

_JPEG = b"\xff\xd8\xff"


def decoders_of(candidate: Candidate, paths: Sequence[Path]) -> tuple[Decoder, ...]:
    """Return the decoders to try a candidate with: also TensorFlow's if it resizes JPEG files as TensorFlow does."""
    with_tensorflow = candidate.preprocessing.resize.startswith("tf-") and any(map(_is_jpeg, paths))
    return ("pillow", "tensorflow") if with_tensorflow else ("pillow",)


def load_images(paths: Sequence[Path], color: ColorOrder, decoder: Decoder) -> list[Image.Image]:
    """Decode images in the colors of a network.

    Raises:
        UsageError: If one cannot be decoded.
    """
    preprocessing = Preprocessing().in_gray() if color == "gray" else Preprocessing()
    try:
        decoded = [to_colors_of(preprocessing, load_image(path)) for path in paths]
    except ImageError as error:
        raise UsageError(error.message, hint=error.hint or "Remove the image from the expected answers") from None
    if decoder == "pillow":
        return decoded
    return [
        _decode_jpeg(path, preprocessing.channels) if _is_jpeg(path) else image
        for path, image in zip(paths, decoded, strict=True)
    ]


def fit_images(
    images: Sequence[Image.Image], shape: tuple[int, int, int], preprocessing: Preprocessing
) -> Array | None:
    """Return images fitted to an input, `[images, *shape]`; None if one is too small or narrow.

    Args:
        images: The images, in the colors of the network.
        shape: Height, width and channels of the input.
        preprocessing: Determines resize filter and fit.
    """
    contract = _contract(shape, preprocessing)
    try:
        fitted = [fit_image(image, contract) for image in images]
    except ImageError:
        return None
    arrays: list[Array] = [np.asarray(each.pixels) for each in fitted]
    pixels: Array = np.stack([array.reshape(shape) for array in arrays])
    return pixels


def _contract(shape: tuple[int, int, int], preprocessing: Preprocessing) -> ModelContract:
    return ModelContract(
        name="expected",
        input=TensorSpec(name=IMAGE, dtype="FP32", shape=shape),
        outputs=(TensorSpec(name=PROBABILITIES, dtype="FP32", shape=(1,)),),
        preprocessing=preprocessing,
        activation="linear",
        classes=1,
    )


def _decode_jpeg(path: Path, channels: int) -> Image.Image:
    pixels = np.asarray(tf.io.decode_jpeg(path.read_bytes(), channels=channels))
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels)


def _is_jpeg(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_JPEG)) == _JPEG
