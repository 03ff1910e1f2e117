"""Answers: the classes, and the map that explains each."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from camserve import heatmap
from camserve.argument_checks import check_number
from camserve.clients.answers.region import largest_part
from camserve.clients.images.decode_options import AS_KERAS, DecodeOptions
from camserve.clients.images.loading import ImageInput, load_image
from camserve.clients.images.placement import Box, Placement
from camserve.colormaps import Colormap
from camserve.errors import UsageError
from camserve.interpolation import Order

__all__ = ["ActivationMap"]


@dataclass(frozen=True, eq=False)
class ActivationMap:
    """The class activation map of one class: how much each part of the image speaks for it.

    From Zhou et al., "Learning Deep Features for Discriminative Localization" (CVPR 2016). Positions in the original
    image are those of the image as it was read: upright, where the classifier reads with `exif=True`.

    Attributes:
        index: The class.
        label: Its name.
        probability: Its probability.
        grid: The map as the model gave it, float32 `[rows, columns]`, in units of the logit.
        image: The image as the network saw it: fitted to the input, in RGB or gray.
        placement: Where in the original image that lies.
        decode_options: How the original image was read.
    """

    index: int
    label: str
    probability: float
    grid: np.ndarray[Any, Any] = field(repr=False)
    image: Image.Image = field(repr=False)
    placement: Placement = field(repr=False)
    decode_options: DecodeOptions = field(default=AS_KERAS, repr=False)

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        return (self.image.height, self.image.width)

    def upsample(self, size: tuple[int, int] | None = None, order: Order = 1) -> np.ndarray[Any, Any]:
        """The map enlarged, its corners on the corners of the image.

        Law: for whole factors this is `scipy.ndimage.zoom(grid, factors, order=order)`.

        Args:
            size: Height and width of the result; those of the network's input unless given.
            order: 0 takes the nearest value; 1 interpolates linearly, 3 with cubic splines.

        Returns:
            float32 `[height, width]`, in units of the logit.

        Raises:
            UsageError: If the size has no pixels, or the order is another.
        """
        return heatmap.upsample(self.grid, size or self.input_size, order)

    def overlay(
        self,
        image: ImageInput | None = None,
        *,
        size: tuple[int, int] | None = None,
        alpha: float = 0.5,
        colormap: Colormap = "jet",
    ) -> Image.Image:
        """The map in colours over the image.

        Args:
            image: The original image, to draw the map over the part of it that the network saw; over the image as
                the network saw it unless given.
            size: Height and width of the result; those of the image unless given.
            alpha: Opacity of the map, from 0 to 1.
            colormap: `jet`, `viridis`, `gray`, any other name that matplotlib knows where that is installed, or a
                table of 256 colours, uint8 `[256, 3]` in RGB. The first colour is for the least value of the map.

        Returns:
            An image in RGB.

        Raises:
            ImageError: If the original image cannot be read.
            UsageError: If the original image has another size than the one that was classified, if the size has no
                pixels, if alpha is not from 0 to 1, or the colormap is unknown.
        """
        if image is not None:
            return self._over_original(image, size, alpha, colormap)
        return heatmap.overlay(heatmap.resized(self.image, size), self.grid, alpha, colormap=colormap)

    @property
    def peak(self) -> tuple[int, int]:
        """Where the map is greatest: (x, y) in pixels of the original image; of equal places the first."""
        row, column = divmod(int(self.grid.argmax()), self.grid.shape[1])
        left, top, right, bottom = self.placement.box
        return (
            left + _between(column, self.grid.shape[1], right - left),
            top + _between(row, self.grid.shape[0], bottom - top),
        )

    def bbox(self, threshold: float = 0.2) -> tuple[int, int, int, int] | None:
        """The box around what speaks most for the class, in pixels of the original image.

        It holds the largest connected part of the map, enlarged to the network's input, in which values are above
        `threshold` times the greatest one (section 4.1 of the paper, which takes 0.2).

        Args:
            threshold: From 0, for everything that speaks for the class at all, to below 1.

        Returns:
            (left, top, right, bottom), the last two exclusive as in Pillow's `crop`; None if no part of the image
            speaks for the class, that is, where no value of the map is above 0.

        Raises:
            UsageError: If the threshold is not from 0 to below 1.
        """
        check_number("threshold", threshold)
        if not 0.0 <= threshold < 1.0:
            raise UsageError(f"the threshold is {threshold}", hint="Give a share of the greatest value, such as 0.2")
        heat = self.upsample()
        part = largest_part(heat > threshold * float(heat.max()))
        return None if part is None else self._in_original(part)

    def _in_original(self, part: Box) -> Box:
        """The pixels of the original image that a part of the network's input was made of, cut ones included."""
        left, top, right, bottom = self.placement.box
        seen = _scaled(part, self.image.size, (right - left, bottom - top))
        return (left + seen[0], top + seen[1], left + seen[2], top + seen[3])

    def _over_original(
        self, image: ImageInput, size: tuple[int, int] | None, alpha: float, colormap: Colormap
    ) -> Image.Image:
        original = load_image(image, self.decode_options)
        height, width = self.placement.original
        if original.size != (width, height):
            raise UsageError(
                f"the image is {original.width} x {original.height} pixels, "
                f"but the classified image was {width} x {height}",
                hint="Pass the image that the map was made for",
            )
        drawn = heatmap.resized(original, size)
        box = _scaled(self.placement.box, original.size, drawn.size)
        return heatmap.overlay(drawn, self.grid, alpha, colormap=colormap, box=box)


def _scaled(box: Box, before: tuple[int, int], after: tuple[int, int]) -> Box:
    """A box in an image of another (width, height): all pixels of which at least a part lies in it."""
    left, top, right, bottom = box
    return (
        left * after[0] // before[0],
        top * after[1] // before[1],
        -(-right * after[0] // before[0]),
        -(-bottom * after[1] // before[1]),
    )


def _between(index: int, count: int, pixels: int) -> int:
    """The pixel on which the map's row or column of that index lies when it is enlarged; of a single one the middle."""
    part = index / (count - 1) if count > 1 else 0.5
    return math.floor(part * (pixels - 1) + 0.5)
