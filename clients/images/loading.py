"""Images in: from a path, bytes, a stream, a Pillow image or an array to one decoded image, or a clear refusal.

The only module that lets Pillow decode. Nothing here trusts its input: the format must be one of `FORMATS`, the size is
checked before any pixel is decoded, and whatever a decoder stumbles over becomes an `ImageError`.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from camserve.clients.images.decode_options import AS_KERAS, DecodeOptions
from camserve.clients.images.files import FileInput, is_file_input, read_bytes
from camserve.clients.images.formats import EXTENSIONS, FORMATS, identify
from camserve.clients.images.headers import canvas_of_webp, check_claims, check_size
from camserve.clients.images.pixel_arrays import Pixels, image_of
from camserve.errors import ImageError

__all__ = ["EXTENSIONS", "FORMATS", "ImageInput", "Opened", "is_one_image", "load_image", "open_image"]

ImageInput = FileInput | Image.Image | Pixels | np.ndarray[Any, Any]
"""A path, the bytes of an image file, a stream open in binary, a Pillow image, `Pixels` of stated order, or a bare
uint8 array in gray."""

_DECODED = (*FORMATS, "MPO")  # MPO is what Pillow calls a JPEG file that holds further images
_AGAIN = "Get the file again from its source"
_INPUTS = "Give a path, bytes, a binary stream, a Pillow image, Pixels, or a gray uint8 array"
_ONE_AT_A_TIME = 'Give one image, or several to classify_many; pixels as Pixels(array, "rgb")'

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_UNREADABLE_EXIF = (SyntaxError, ValueError, TypeError, LookupError, OSError, struct.error)
_CARRIERS_OF_ORIENTATION = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")


def load_image(source: ImageInput, decode_options: DecodeOptions = AS_KERAS) -> Image.Image:
    """Decodes an image; of several frames the first.

    May be called from several threads at once; one Pillow image or stream belongs to one of them.

    Args:
        source: The image.
        decode_options: Which way up, and how large at most; like Keras's `load_img` unless told otherwise.

    Returns:
        The decoded image in the mode of its file.

    Raises:
        ImageError: If it is not an image or not a regular file, is truncated or corrupt, or exceeds a limit.
    """
    return open_image(source, decode_options).load()


def open_image(source: ImageInput, decode_options: DecodeOptions = AS_KERAS) -> Opened:
    """Reads an image's bytes and header, and decodes nothing yet; its size is checked here.

    Raises:
        ImageError: As `load_image`, but for damage behind the header.
    """
    if isinstance(source, Image.Image):
        return Opened(_of_known_format(source), "the image", decode_options)
    if isinstance(source, Pixels | np.ndarray):
        return Opened(image_of(source), "the array", decode_options)
    if not is_file_input(source):
        raise ImageError(
            f"an image cannot be read from {type(source).__name__}",
            hint=_ONE_AT_A_TIME if isinstance(source, list | tuple) else _INPUTS,
        )
    data, name = read_bytes(source, decode_options.max_bytes)
    return Opened(_header(data, name, decode_options), name, decode_options, data)


def is_one_image(source: object) -> bool:
    """Whether something is meant as an image, whatever it holds; an array counts as one, of any shape."""
    return isinstance(source, Image.Image | Pixels | np.ndarray) or is_file_input(source)


class Opened:
    """An image of which the header is known; `load` decodes it, in any thread.

    Attributes:
        size: Height and width, in pixels, as they stand in the file.
        decoded_bytes: About what the image takes while it is decoded and fitted: its file, and its pixels in RGB.
    """

    def __init__(self, image: Image.Image, name: str, decode_options: DecodeOptions, data: bytes = b"") -> None:
        check_size(image.size, name, decode_options.max_pixels)
        self.size = (image.height, image.width)
        self.decoded_bytes = len(data) + _bytes_of_pixels(image)
        self._image: Image.Image | None = image
        self._name = name
        self._decode_options = decode_options
        self._data = data

    def load(self) -> Image.Image:
        """The decoded image, in the mode of its file; upright if that was asked for. Asked again, it is the same.

        Raises:
            ImageError: If it is cut short or damaged.
        """
        image = _header(self._data, self._name, self._decode_options) if self._image is None else self._image
        if self._data:
            self._image = None  # its pixels go as soon as the caller has no more need of them
        if isinstance(image, ImageFile.ImageFile):
            _check_strict(self._name)
        try:
            image.load()
            return _upright(image) if self._decode_options.exif else image
        except Exception as error:  # decoders of damaged files raise whatever their parsing trips over
            raise _damaged(self._name, error) from error


def _bytes_of_pixels(image: Image.Image) -> int:
    """Pillow holds four bytes a pixel; libwebp holds the canvas three times more."""
    copies = 4 if image.format == "WEBP" else 1 if image.mode == "RGB" else 2
    return 4 * copies * image.width * image.height


def _header(data: bytes, name: str, decode_options: DecodeOptions) -> Image.Image:
    if canvas := canvas_of_webp(data):
        check_size(canvas, name, decode_options.max_pixels)
    try:
        image = identify(data)
        if image is not None:
            check_size(image.size, name, decode_options.max_pixels)
            check_claims(image, data, name)
            return image
    except ImageError:
        raise
    except Exception as error:  # see Opened.load
        raise _damaged(name, error) from error
    raise ImageError(f"{name} is no image of a known format", hint=f"Give one of {', '.join(FORMATS)}")


def _of_known_format(image: Image.Image) -> Image.Image:
    """Pillow decodes an image that it opened only when it is loaded, and may start another program for that."""
    if isinstance(image, ImageFile.ImageFile) and image.format not in _DECODED:
        raise ImageError(
            f"the image was opened from a file of format {image.format}, which is not read here",
            hint=f"Give one of {', '.join(FORMATS)}; or its copy(), which Pillow decodes on your own responsibility",
        )
    return image


def _upright(image: Image.Image) -> Image.Image:
    orientation = 1
    with suppress(*_UNREADABLE_EXIF):  # which then counts as none, as it does for whatever shows images
        orientation = image.getexif().get(_ORIENTATION, 1)
    method = _UPRIGHT.get(orientation)
    if method is None:
        return image
    upright = image.transpose(method)
    for carrier in _CARRIERS_OF_ORIENTATION:  # or the next reader would turn it once more
        upright.info.pop(carrier, None)
    return upright


def _check_strict(name: str) -> None:
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise ImageError(
            f"{name} is not read: PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set in this program, and with it an image "
            "that is cut short is filled up with gray",
            hint="Leave it at False",
        )


def _damaged(name: str, error: Exception) -> ImageError:
    why = str(error) or type(error).__name__
    return ImageError(f"{name} is damaged or cut short: {why}", hint=_AGAIN)
