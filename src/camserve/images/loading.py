"""Decode images from paths, bytes, streams, Pillow images and arrays.

This is the only module that decodes with Pillow. Its input is not trusted: the format must be one of `FORMATS`, the
size is checked before any pixel is decoded, and every exception of a decoder becomes an `ImageError`.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from camserve.errors import ImageError
from camserve.images.bit_depth import of_full_depth
from camserve.images.decode_options import AS_KERAS, DecodeOptions
from camserve.images.fast_jpeg import decode_fast, is_jpeg
from camserve.images.files import FileInput, is_file_input, read_bytes
from camserve.images.formats import FORMATS, identify
from camserve.images.headers import check_header, check_size, declared_size
from camserve.images.libtiff import collect_errors
from camserve.images.memory import enough_memory
from camserve.images.optional_formats import OPTIONAL_FORMATS
from camserve.images.pixel_arrays import Pixels, image_of

__all__ = ["FORMATS", "ImageInput", "OpenedImage", "is_one_image", "load_image", "open_image"]

ImageInput = FileInput | Image.Image | Pixels | np.ndarray[Any, Any]
"""A path, the bytes of an image file, a stream open in binary mode, a Pillow image, `Pixels` with their channel order,
or a gray uint8 array."""

_DECODED = (*FORMATS, *OPTIONAL_FORMATS, "MPO")  # MPO is Pillow's name of a JPEG file with further images
_GET_AGAIN = "Get the file again from its source"
_INPUTS = "Pass a path, bytes, a binary stream, a Pillow image, Pixels, or a gray uint8 array"
_ONE_AT_A_TIME = 'Pass one image, or several to classify_many; pass pixels as Pixels(array, "rgb")'

_ORIENTATION = 0x0112
_TRANSPOSITIONS = {
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
    """Decode an image; of several frames, the first.

    This function is thread-safe, but a Pillow image or a stream must not be used by several threads.

    Args:
        source: The image.
        decode_options: Orientation and size limits (default: as Keras's `load_img`).

    Returns:
        The decoded image in the mode of its file.

    Raises:
        ImageError: If it is not an image or not a regular file, is truncated or corrupt, or exceeds a limit.
    """
    return open_image(source, decode_options).load()


def open_image(source: ImageInput, decode_options: DecodeOptions = AS_KERAS, *, name: str | None = None) -> OpenedImage:
    """Read the bytes and the header of an image and check its size, without decoding it.

    Args:
        source: The image.
        decode_options: Orientation and size limits (default: as Keras's `load_img`).
        name: What messages call an image that is passed as bytes (default: by its size).

    Raises:
        ImageError: As `load_image`, except for corrupt data after the header.
    """
    if isinstance(source, Image.Image):
        return OpenedImage(_of_known_format(source), "the image", decode_options)
    if isinstance(source, Pixels | np.ndarray):
        with enough_memory("the array"):
            return OpenedImage(image_of(source), "the array", decode_options)
    if not is_file_input(source):
        raise ImageError(
            f"an image cannot be decoded from {type(source).__name__}",
            hint=_ONE_AT_A_TIME if isinstance(source, list | tuple) else _INPUTS,
        )
    data, name = read_bytes(source, decode_options.max_bytes, name)
    return OpenedImage(_header(data, name, decode_options), name, decode_options, data)


def is_one_image(source: object) -> bool:
    """Return whether a value is passed as one image, valid or not; an array of any shape is."""
    return isinstance(source, Image.Image | Pixels | np.ndarray) or is_file_input(source)


class OpenedImage:
    """An image whose header was read; `load` decodes it, in any thread.

    Attributes:
        name: The file, or what messages call the image.
        size: Height and width in pixels, before the EXIF orientation is applied.
        file_bytes: Size of the file, 0 for pixels.
        decoded_bytes: Approximate memory during decoding and resizing: the file, and the pixels in RGB.
    """

    def __init__(self, image: Image.Image, name: str, decode_options: DecodeOptions, data: bytes = b"") -> None:
        check_size(image.size, name, decode_options.max_pixels)
        self.size = (image.height, image.width)
        self.file_bytes = len(data)
        self.decoded_bytes = len(data) + _bytes_of_pixels(image)
        self._image: Image.Image | None = image
        self.name = name
        self._decode_options = decode_options
        self._data = data

    @property
    def file(self) -> bytes:
        """The bytes of the file; empty for pixels."""
        return self._data

    def load(self) -> Image.Image:
        """Decode the image, in the mode of its file, and apply its orientation if requested. May be called again.

        Raises:
            ImageError: If it is truncated or corrupt.
        """
        image = _header(self._data, self.name, self._decode_options) if self._image is None else self._image
        if self._data:
            self._image = None  # so that its pixels are released with the caller's reference
        if isinstance(image, ImageFile.ImageFile):
            _check_strict(self.name)
        with enough_memory(self.name), collect_errors() as errors:
            try:
                decoded = self._decode(image)
                decoded = _upright(decoded, image) if self._decode_options.exif else decoded
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001  decoders raise any exception for corrupt files
                errors.append(_reason(error))  # after those of libtiff, which say more
        if errors:
            raise _corrupt(self.name, errors[0])
        return decoded

    def _decode(self, image: Image.Image) -> Image.Image:
        if self._decode_options.fast_jpeg and self._data and is_jpeg(image):
            return decode_fast(self._data, image)
        image.load()
        return of_full_depth(image)


def _bytes_of_pixels(image: Image.Image) -> int:
    """Estimate the memory of the pixels: four bytes per pixel in Pillow, and three more canvases in libwebp."""
    copies = 4 if image.format == "WEBP" else 1 if image.mode == "RGB" else 2
    return 4 * copies * image.width * image.height


def _header(data: bytes, name: str, decode_options: DecodeOptions) -> Image.Image:
    max_pixels = decode_options.max_pixels
    if canvas := declared_size(data):
        check_size(canvas, name, max_pixels)
    try:
        with enough_memory(name):
            image = identify(data, name)
        if isinstance(image, Image.Image):
            check_size(image.size, name, max_pixels)
            check_header(image, data, name)
            return image
    except ImageError:
        raise
    except Exception as error:  # noqa: BLE001  see OpenedImage.load
        raise _corrupt(name, _reason(error)) from None
    raise ImageError(f"{name} is {image}", hint=f"Convert it to 8-bit RGB or gray in one of {', '.join(FORMATS)}")


def _of_known_format(image: Image.Image) -> Image.Image:
    """Refuse an image that Pillow opened from another format: decoding it may start another program."""
    if isinstance(image, ImageFile.ImageFile) and image.format not in _DECODED:
        raise ImageError(
            f"the image was opened from a file of the unsupported format {image.format}",
            hint=f"Convert it to one of {', '.join(FORMATS)} or, if you trust it, pass image.copy()",
        )
    return image


def _upright(image: Image.Image, opened: Image.Image) -> Image.Image:
    orientation = 1
    with suppress(*_UNREADABLE_EXIF):  # it is ignored then, as in image viewers
        orientation = opened.getexif().get(_ORIENTATION, 1)
    method = _TRANSPOSITIONS.get(orientation)
    if method is None:
        return image
    upright = image.transpose(method)
    for carrier in _CARRIERS_OF_ORIENTATION:  # otherwise the next program would rotate it again
        upright.info.pop(carrier, None)
    return upright


def _check_strict(name: str) -> None:
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise ImageError(
            f"{name} was not decoded: PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set in this process, so that truncated "
            "images would be filled with gray",
            hint="Set PIL.ImageFile.LOAD_TRUNCATED_IMAGES = False",
        )


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _corrupt(name: str, reason: str) -> ImageError:
    return ImageError(f"{name} is corrupt or truncated: {reason}", hint=_GET_AGAIN)
