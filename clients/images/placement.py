"""Where in the original image the network's input lies."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

__all__ = ["Box", "Fitted", "Placement"]

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels, as Pillow counts them: right and bottom are the first that lie outside."""


@dataclass(frozen=True)
class Placement:
    """The part of the original image that the network sees, stretched over its whole input.

    Attributes:
        original: Height and width of the image as it was read; of the upright one if it was turned by its EXIF.
        box: The part, in pixels of the original: left, top, right and bottom, the last two exclusive.
    """

    original: tuple[int, int]
    box: Box

    def to_original(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the network's input lies in the original.

        Args:
            x: From 0, the left edge of the input, to 1, its right edge. The centre of column i of n is (i + 0.5) / n.
            y: From 0, the top edge, to 1, the bottom edge.

        Returns:
            x and y in pixels of the original, where the first pixel reaches from 0 to 1.
        """
        left, top, right, bottom = self.box
        return left + x * (right - left), top + y * (bottom - top)


@dataclass(frozen=True, eq=False)
class Fitted:
    """An image as the network sees it, and where in the original it lies.

    Attributes:
        image: RGB or gray (mode L) of 8 bits, of the input's height and width; shared with no other image.
        placement: Where it lies.
    """

    image: Image.Image
    placement: Placement
