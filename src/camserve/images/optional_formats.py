"""HEIC and AVIF, which Pillow decodes with optional packages or, AVIF, if it is new enough."""

from __future__ import annotations

from importlib.util import find_spec
from io import BytesIO

from PIL import Image, features

from camserve.errors import ImageError

__all__ = ["OPTIONAL_FORMATS", "open_optional"]

OPTIONAL_FORMATS = ("HEIF", "AVIF")
"""Pillow's names of the formats."""

_INSTALL = "Install it: pip install 'camserve[heif]'"


def open_optional(data: bytes, kind: str, name: str) -> Image.Image | None:
    """Read the header of a HEIC or AVIF image; None for other kinds.

    No format is registered with Pillow, so that `Image.open` of the rest of the program accepts what it did.

    Args:
        data: The bytes of the file.
        kind: The format according to `image_kind`.
        name: The file, for the error.

    Raises:
        ImageError: If the package that decodes it is not installed.
    """
    if kind == "HEIC":
        return _open_heic(data, name)
    return _open_avif(data, name) if kind == "AVIF" else None


def _open_heic(data: bytes, name: str) -> Image.Image:
    if find_spec("pillow_heif") is None:
        raise _not_installed(name, "HEIC", "pillow-heif")
    from pillow_heif import HeifImageFile  # noqa: PLC0415  (optional)

    image: Image.Image = HeifImageFile(BytesIO(data), "")
    return image


def _open_avif(data: bytes, name: str) -> Image.Image:
    if "avif" not in features.modules or not features.check("avif"):
        raise _not_installed(name, "AVIF", "Pillow 11.3 or newer with AVIF")
    from PIL import AvifImagePlugin  # noqa: PLC0415  (not in every Pillow)

    return AvifImagePlugin.AvifImageFile(BytesIO(data), "")


def _not_installed(name: str, kind: str, package: str) -> ImageError:
    return ImageError(f"{name} is of the format {kind}, which requires {package}", hint=_INSTALL)
