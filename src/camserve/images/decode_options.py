"""How image files are decoded: orientation, JPEG and size limits."""

from __future__ import annotations

from dataclasses import dataclass

from camserve.argument_checks import check_type, check_whole
from camserve.errors import UsageError
from camserve.images.fast_jpeg import check_fast_jpeg
from camserve.images.limits import MAX_BYTES, MAX_PIXELS

__all__ = ["AS_KERAS", "DecodeOptions"]


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """How image files are decoded.

    Attributes:
        exif: Whether to rotate images as their EXIF orientation requires. Keras's `load_img` ignores it, so that models
            trained with it have seen such photos without rotation. TIFF files are always rotated, as in Pillow. An EXIF
            block that cannot be read is ignored.
        fast_jpeg: Whether to decode JPEG files with the fast, inexact DCT, as TensorFlow does by default: for models
            trained with `image_dataset_from_directory` or `tf.io.decode_jpeg`. It requires simplejpeg
            (`pip install 'camserve[fast-jpeg]'`). CMYK files and Pillow images are not affected.
        max_pixels: Limit of width times height (default: 64 million); it is checked before any pixel is decoded.
        max_bytes: Limit of the size of a file (default: 256 MiB); at most one byte more is read from a stream.

    Raises:
        UsageError: If a limit is not a whole number of at least 1, or simplejpeg is required and missing.
    """

    exif: bool = False
    fast_jpeg: bool = False
    max_pixels: int = MAX_PIXELS
    max_bytes: int = MAX_BYTES

    def __post_init__(self) -> None:
        check_type("exif", self.exif, bool, "True or False")
        check_type("fast_jpeg", self.fast_jpeg, bool, "True or False")
        if self.fast_jpeg:
            check_fast_jpeg()
        for name in ("max_pixels", "max_bytes"):
            value = getattr(self, name)
            check_whole(name, value)
            if value < 1:
                raise UsageError(f"{name} must be at least 1, got {value}", hint=f"Pass DecodeOptions({name}=...)")


AS_KERAS = DecodeOptions()
"""Decode images as Keras's `load_img` does."""
