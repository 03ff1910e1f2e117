"""The position of the network's input in the original image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from PIL import Image

from camserve.heatmap import Box

__all__ = ["Box", "Fitted", "Placement", "scale_box"]


@dataclass(frozen=True)
class Placement:
    """The part of the original image that is resized to the network's input.

    Attributes:
        original: Height and width of the decoded image, after its EXIF orientation was applied if requested.
        box: The part in pixels of the original: left, top, right and bottom; right and bottom are exclusive.
    """

    original: tuple[int, int]
    box: Box

    def to_original(self, x: float, y: float) -> tuple[float, float]:
        """Convert a position in the network's input to a position in the original image.

        Args:
            x: From 0 (left edge of the input) to 1 (right edge). The center of column i of n is (i + 0.5) / n.
            y: From 0 (top edge) to 1 (bottom edge).

        Returns:
            x and y in pixels of the original image, whose first pixel extends from 0 to 1.
        """
        left, top, right, bottom = self.box
        return left + x * (right - left), top + y * (bottom - top)

    def to_input(self, x: float, y: float) -> tuple[float, float]:
        """Convert a position in the original image to a position in the network's input: the inverse of `to_original`.

        Args:
            x: In pixels of the original image, whose first pixel extends from 0 to 1.
            y: The same.

        Returns:
            x and y from 0 (left or top edge of the input) to 1; less or more outside the part that is resized to it.
        """
        left, top, right, bottom = self.box
        return (x - left) / (right - left), (y - top) / (bottom - top)


@dataclass(frozen=True, eq=False)
class Fitted:
    """An image of the size of the network's input, and its position in the original image.

    Attributes:
        pixels: 8-bit RGB or gray (mode L), of the input's height and width; it shares no memory with another image.
            Where the resize filter gives fractions, an array, float32 `[height, width, channels]`.
        placement: Its position in the original image.
    """

    pixels: Image.Image | npt.NDArray[np.float32]
    placement: Placement

    @cached_property
    def image(self) -> Image.Image:
        """The image, with fractions rounded."""
        if isinstance(self.pixels, Image.Image):
            return self.pixels
        rounded = np.rint(self.pixels).clip(0, 255).astype(np.uint8)
        return Image.fromarray(rounded[:, :, 0] if rounded.shape[2] == 1 else rounded)


def scale_box(box: Box, before: tuple[int, int], after: tuple[int, int]) -> Box:
    """Scale a box with its image from one (width, height) to another, rounded outwards to whole pixels."""
    left, top, right, bottom = box
    return (
        left * after[0] // before[0],
        top * after[1] // before[1],
        -(-right * after[0] // before[0]),
        -(-bottom * after[1] // before[1]),
    )
