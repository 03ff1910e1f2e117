"""How image files are read: which way up, and how much of them at most."""

from __future__ import annotations

from dataclasses import dataclass

from camserve.argument_checks import check_type, check_whole
from camserve.errors import UsageError

__all__ = ["AS_KERAS", "MAX_BYTES", "MAX_PIXELS", "DecodeOptions"]

MAX_PIXELS = 64_000_000
"""Width times height above which an image is refused before it is decoded, unless told otherwise."""

MAX_BYTES = 256 * 1024 * 1024
"""Size of a file above which it is refused before it is read, unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """How image files are read.

    Attributes:
        exif: Whether an image is turned upright as its EXIF orientation says. Keras's `load_img` ignores it, and so a
            model trained with that has seen such photos lying; TIFF is turned in both cases, as Pillow does. An EXIF
            block that cannot be read counts as none.
        max_pixels: Width times height that is still decoded, 64 million unless given; the header tells it, before any
            pixel is decoded.
        max_bytes: Size of a file that is still read, 256 MiB unless given; of a stream, no more is read than this and
            one byte.

    Raises:
        UsageError: If a limit is no whole number or less than one.
    """

    exif: bool = False
    max_pixels: int = MAX_PIXELS
    max_bytes: int = MAX_BYTES

    def __post_init__(self) -> None:
        check_type("exif", self.exif, bool, "True or False")
        for name in ("max_pixels", "max_bytes"):
            check_whole(name, getattr(self, name))
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}", hint="Allow at least one")


AS_KERAS = DecodeOptions()
"""The reading that equals Keras's `load_img`."""
