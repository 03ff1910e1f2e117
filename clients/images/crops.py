"""Crops: several parts of one image at the input's size, for models that must not see resized pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from PIL import Image

from camserve.argument_checks import check_whole
from camserve.clients.images.colors import in_colors_of
from camserve.clients.images.placement import Box, Fitted, Placement
from camserve.clients.images.preprocess import centre_box
from camserve.contract import ModelContract
from camserve.errors import UsageError

__all__ = ["Choose", "Crops", "crop_image"]

Choose = Literal["highest", "average"]

_MOST_SEEDS = 2**32


@dataclass(frozen=True, kw_only=True)
class Crops:
    """The centre of an image and random parts of it, all at the input's size and never resized.

    Attributes:
        count: How many crops: the centre, and `count - 1` at random.
        seed: Of the random ones; the same seed takes the same crops of every image of one size.
        choose: Which answer counts: that of the crop whose best class is surest (`highest`), or the mean of all crops'
            probabilities (`average`).

    Raises:
        UsageError: If there is no crop to take, or no such seed or choice.
    """

    count: int = 10
    seed: int = 0
    choose: Choose = "highest"

    def __post_init__(self) -> None:
        check_whole("crops: count", self.count)
        check_whole("crops: seed", self.seed)
        if self.count < 1:
            raise UsageError(f"crops: count is {self.count}", hint="Take at least one, the centre")
        if not 0 <= self.seed < _MOST_SEEDS:
            raise UsageError(f"crops: seed is {self.seed}", hint=f"Give a number from 0 to {_MOST_SEEDS - 1}")
        if self.choose not in get_args(Choose):
            raise UsageError(f"crops: choose is {self.choose!r}", hint=f"Give one of {', '.join(get_args(Choose))}")


def crop_image(image: Image.Image, contract: ModelContract, crops: Crops) -> tuple[Fitted, ...]:
    """The crops of an image, the centre first.

    Raises:
        ImageError: If the image is smaller than a crop, or its mode has no exact 8-bit form (see `colors`).
    """
    size = (contract.width, contract.height)
    colored = in_colors_of(contract.preprocessing, image)
    boxes = (centre_box(colored.size, size), *_random_boxes(colored.size, size, crops))
    return tuple(Fitted(colored.crop(box), Placement((image.height, image.width), box)) for box in boxes)


def _random_boxes(whole: tuple[int, int], size: tuple[int, int], crops: Crops) -> Iterator[Box]:
    # The stream of RandomState is frozen, whereas that of default_rng may change with NumPy's version.
    random = np.random.RandomState(crops.seed)
    for _ in range(crops.count - 1):
        left = int(random.randint(0, whole[0] - size[0] + 1))
        top = int(random.randint(0, whole[1] - size[1] + 1))
        yield (left, top, left + size[0], top + size[1])
