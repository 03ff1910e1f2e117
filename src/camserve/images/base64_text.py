"""Image files as base64 text, the form in which JSON contains bytes."""

from __future__ import annotations

import base64
import binascii
import re

from camserve.errors import ImageError
from camserve.images.files import check_length
from camserve.images.signatures import SIGNATURE_LENGTH, image_kind

__all__ = ["from_base64", "is_base64_text", "to_base64"]

_PREFIX = re.compile(rb"\s*data:[\w.+/;=-]*;base64,", re.ASCII)
_SPACE = b" \t\r\n"
_HEAD = 4 * SIGNATURE_LENGTH
_CHARACTERS = 4 * -(-SIGNATURE_LENGTH // 3)  # of base64 that contain a signature


def is_base64_text(data: bytes) -> bool:
    """Return whether bytes are the base64 text of an image file, also as a `data:` URL, rather than the file itself.

    The beginning of the text must decode to that of an image file, so that no other text is taken for base64.
    """
    head = _PREFIX.sub(b"", data[:_HEAD], count=1).translate(None, _SPACE)[:_CHARACTERS]
    try:
        start = base64.b64decode(head[: len(head) // 4 * 4], validate=True)
    except binascii.Error:
        return False
    return image_kind(start) is not None


def from_base64(text: bytes, max_bytes: int) -> bytes:
    """Decode base64 text, also as a `data:` URL, to the bytes of the file.

    Args:
        text: The text; spaces and line breaks are ignored.
        max_bytes: The most bytes of the file.

    Raises:
        ImageError: If it is not valid, or the file is larger.
    """
    text = _PREFIX.sub(b"", text, count=1).translate(None, _SPACE)
    name = f"the image of {len(text):,} characters of base64 text"
    check_length(len(text) // 4 * 3 - 2, name, max_bytes)
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ImageError(
            f"{name} is incomplete or contains other characters",
            hint="Send the bytes of the file, or all of their base64 text: base64 -w0 FILE",
        ) from None


def to_base64(data: bytes) -> bytes:
    """Encode the bytes of a file as base64 text on one line."""
    return base64.b64encode(data)
