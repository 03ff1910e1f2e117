"""Shares of images, judged as counts: how far the share of all images may be from that of the measured ones."""

from __future__ import annotations

import math

__all__ = ["images_to_settle", "wilson_interval"]

_Z = 1.959963984540054  # of 95 %, two-sided


def wilson_interval(found: int, images: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of which a sample is known.

    Args:
        found: Number of images that count.
        images: Number of images.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    share = found / images
    center = share + _Z**2 / (2 * images)
    half = _Z * math.sqrt(share * (1 - share) / images + _Z**2 / (4 * images**2))
    scale = 1 + _Z**2 / images
    low, high = (center - half) / scale, (center + half) / scale
    return (0.0 if not found else low, 1.0 if found == images else high)  # exact, where rounding is not


def images_to_settle(found: int, images: int, limit: float) -> int | None:
    """Return the number of images whose interval would exclude a limit, if the share stays what it is.

    Args:
        found: Number of images that count.
        images: Number of images.
        limit: The limit of the share.

    Returns:
        None if the interval excludes the limit already, or would not for any number.
    """
    share = found / images
    low, high = wilson_interval(found, images)
    if share == limit or not (low <= limit <= high and 0 < limit < 1):
        return None
    return math.floor(_Z**2 * limit * (1 - limit) / (share - limit) ** 2) + 1
