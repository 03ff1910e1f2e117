"""Take crops of the input's size from an image, for models that must not receive resized pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from PIL import Image

from camserve.argument_checks import check_whole
from camserve.contract import ModelContract
from camserve.errors import UsageError
from camserve.images.colors import to_colors_of
from camserve.images.placement import Box, Fitted, Placement
from camserve.images.preprocess import center_box

__all__ = ["Choose", "Crops", "crop_image"]

Choose = Literal["highest", "average"]

_SEEDS = 2**32


@dataclass(frozen=True, kw_only=True)
class Crops:
    """The center and random parts of an image, all of the input's size and without resizing.

    Attributes:
        count: Number of crops: the center and `count - 1` random ones.
        seed: Seed of the random crops; images of one size get the same crops for the same seed.
        choose: How the results are combined: `highest` returns that of the crop with the highest probability, `average`
            the mean of the probabilities of all crops.

    Raises:
        UsageError: If a value is invalid.
    """

    count: int = 10
    seed: int = 0
    choose: Choose = "highest"

    def __post_init__(self) -> None:
        check_whole("crops: count", self.count)
        check_whole("crops: seed", self.seed)
        if self.count < 1:
            raise UsageError(f"crops: count must be at least 1, got {self.count}", hint="Pass Crops(count=10)")
        if not 0 <= self.seed < _SEEDS:
            raise UsageError(f"crops: seed must be from 0 to {_SEEDS - 1}, got {self.seed}", hint="Pass Crops(seed=0)")
        if self.choose not in get_args(Choose):
            raise UsageError(
                f"crops: unknown value {self.choose!r} of choose", hint=f"Choose {' or '.join(get_args(Choose))}"
            )


def crop_image(image: Image.Image, contract: ModelContract, crops: Crops) -> tuple[Fitted, ...]:
    """Return the crops of an image, the center first.

    Raises:
        ImageError: If the image is smaller than a crop, or its mode cannot be converted (see `colors`).
    """
    size = (contract.width, contract.height)
    colored = to_colors_of(contract.preprocessing, image)
    boxes = (center_box(colored.size, size), *_random_boxes(colored.size, size, crops))
    return tuple(Fitted(colored.crop(box), Placement((image.height, image.width), box)) for box in boxes)


def _random_boxes(whole: tuple[int, int], size: tuple[int, int], crops: Crops) -> Iterator[Box]:
    # The numbers of RandomState never change, whereas those of default_rng may differ between versions of NumPy.
    random = np.random.RandomState(crops.seed)
    for _ in range(crops.count - 1):
        left = int(random.randint(0, whole[0] - size[0] + 1))
        top = int(random.randint(0, whole[1] - size[1] + 1))
        yield (left, top, left + size[0], top + size[1])
