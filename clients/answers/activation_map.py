"""The class activation map of one class, and how it relates to the original image."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from camserve import heatmap
from camserve.argument_checks import check_number
from camserve.caption import add_caption
from camserve.clients.answers.region import largest_region
from camserve.colormaps import Colormap
from camserve.contract import MapMethod
from camserve.errors import UsageError
from camserve.images.decode_options import AS_KERAS, DecodeOptions
from camserve.images.loading import ImageInput, load_image
from camserve.images.placement import Box, Placement, scale_box
from camserve.interpolation import Order

__all__ = ["ActivationMap"]


@dataclass(frozen=True, eq=False)
class ActivationMap:
    """The class activation map of one class: how much each part of the image contributes to its logit.

    Positions in the original image refer to the image as it was decoded: with `DecodeOptions(exif=True)`, upright.

    Source: Zhou et al., "Learning Deep Features for Discriminative Localization" (CVPR 2016); of `gradient`
    maps, Draelos and Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural
    networks" (2020).

    Attributes:
        index: Number of the class.
        label: Label of the class.
        probability: Probability of the class.
        grid: The map as the model returned it, float32 `[rows, columns]`, in units of the logit.
        image: The image as the network received it: resized to the input, in RGB or gray.
        placement: The part of the original image that `image` shows.
        decode_options: How the original image was decoded.
        method: How the model computes the map: `linear`, with the weights of a linear head, or `gradient`, with the
            derivative of the logit by the features.
    """

    index: int
    label: str
    probability: float
    grid: np.ndarray[Any, Any] = field(repr=False)
    image: Image.Image = field(repr=False)
    placement: Placement = field(repr=False)
    decode_options: DecodeOptions = field(default=AS_KERAS, repr=False)
    method: MapMethod = field(default="linear", repr=False)

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the network's input, in pixels."""
        return (self.image.height, self.image.width)

    def upsample(self, size: tuple[int, int] | None = None, order: Order = 1) -> np.ndarray[Any, Any]:
        """Enlarge the map, with its corners aligned to the corners of the image.

        Law: for whole factors this is `scipy.ndimage.zoom(grid, factors, order=order)`.

        Args:
            size: Height and width of the result (default: those of the network's input).
            order: 0 (nearest value), 1 (linear) or 3 (cubic splines).

        Returns:
            float32 `[height, width]`, in units of the logit.

        Raises:
            UsageError: If a side is less than 1, or the order is unknown.
        """
        return heatmap.upsample(self.grid, size or self.input_size, order)

    def overlay(
        self,
        image: ImageInput | None = None,
        *,
        size: tuple[int, int] | None = None,
        style: heatmap.Style = "highlight",
        alpha: float | None = None,
        colormap: Colormap | None = None,
        caption: bool = False,
    ) -> Image.Image:
        """Draw the map over the image.

        Args:
            image: The original image; the map is drawn over the part of it that the network received (default: the
                image as the network received it).
            size: Height and width of the image in the result (default: those of the image).
            style: With `highlight`, the opacity follows the map: where the map is at its lowest value, the image is
                unchanged. With `notebook`, the map covers the whole image at one opacity.
            alpha: Opacity, from 0 to 1; with `highlight`, that of the highest value (default: 0.7 with `highlight`,
                0.5 with `notebook`).
            colormap: `viridis`, `jet`, `gray`, the name of another colormap of matplotlib if that is
                installed, or a table of 256 colors, uint8 `[256, 3]` in RGB. The first color is that of the lowest
                value (default: `viridis` with `highlight`, `jet` with `notebook`).
            caption: Whether to add a strip below the image, with the label, the probability and the color scale. The
                numbers at its ends are the lowest and the highest value of the map, in units of the logit.

        Returns:
            An RGB image.

        Raises:
            ImageError: If the original image cannot be decoded.
            UsageError: If the original image has another size than the classified one, a side is less than 1, alpha is
                not from 0 to 1, or the style or the colormap is unknown.
        """
        look = heatmap.look(style, alpha, colormap)
        base = self.image if image is None else self._load_original(image)
        source_box = (0, 0, *base.size) if image is None else self.placement.box
        resized = heatmap.resize_for_display(base, size)
        box = scale_box(source_box, base.size, resized.size)
        drawing = heatmap.overlay(resized, self.grid, look, box=box)
        if not caption:
            return drawing
        value_range = heatmap.value_range(self.grid, (box[3] - box[1], box[2] - box[0]))
        return add_caption(
            drawing, self.label, f"{self.probability:.1%}", value_range, look.table, fallback=f"class {self.index}"
        )

    @property
    def peak(self) -> tuple[int, int]:
        """Position of the highest value: (x, y) in pixels of the original image; of equal values, the first."""
        row, column = divmod(int(self.grid.argmax()), self.grid.shape[1])
        left, top, right, bottom = self.placement.box
        return (
            left + _pixel_of_cell(column, self.grid.shape[1], right - left),
            top + _pixel_of_cell(row, self.grid.shape[0], bottom - top),
        )

    def bbox(self, threshold: float = 0.2) -> tuple[int, int, int, int] | None:
        """Return the bounding box of the largest region with high values, in pixels of the original image.

        The map is enlarged to the network's input. The region is the largest connected set of values above
        `threshold` times the highest value.

        Source: section 4.1 of the paper, which uses 0.2.

        Args:
            threshold: Share of the highest value, from 0 (every positive value) to below 1.

        Returns:
            (left, top, right, bottom), with right and bottom exclusive as in Pillow's `crop`; None if no value of the
            map is above 0, so that no part of the image contributes to the class.

        Raises:
            UsageError: If the threshold is negative, or 1 or more.
        """
        check_number("threshold", threshold)
        if not 0.0 <= threshold < 1.0:
            raise UsageError(
                f"threshold must be from 0 to below 1, got {threshold}",
                hint="Pass a share of the highest value, such as 0.2",
            )
        enlarged = self.upsample()
        region = largest_region(enlarged > threshold * float(enlarged.max()))
        return None if region is None else self._to_original(region)

    def _to_original(self, box: Box) -> Box:
        """Return the pixels of the original image from which a part of the network's input was made."""
        left, top, right, bottom = self.placement.box
        scaled = scale_box(box, self.image.size, (right - left, bottom - top))
        return (left + scaled[0], top + scaled[1], left + scaled[2], top + scaled[3])

    def _load_original(self, image: ImageInput) -> Image.Image:
        original = load_image(image, self.decode_options)
        height, width = self.placement.original
        if original.size != (width, height):
            raise UsageError(
                f"the image has {original.width} x {original.height} pixels, "
                f"but the classified image had {width} x {height}",
                hint="Pass the image that was classified",
            )
        return original


def _pixel_of_cell(index: int, count: int, pixels: int) -> int:
    """Return the pixel of a row or column of the enlarged map; of a single one, the middle."""
    position = index / (count - 1) if count > 1 else 0.5
    return math.floor(position * (pixels - 1) + 0.5)
