"""Crops at the size of the input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.contracts import contract_of_input
from support.image_files import draw

from camserve.contract import PRESETS, Fit, ModelContract
from camserve.errors import ImageError, UsageError
from camserve.images.crops import Crops, crop_image
from camserve.images.preprocess import fit_image

SIZE = (12, 10)


def contract(size: tuple[int, int] = SIZE, fit: Fit = "crop-only") -> ModelContract:
    return contract_of_input(PRESETS["raw-bgr"].model_copy(update={"fit": fit}), size)


def boxes(image: Image.Image, crops: Crops) -> list[tuple[int, int, int, int]]:
    return [fitted.placement.box for fitted in crop_image(image, contract(), crops)]


def test_crops_start_with_the_center_and_are_unchanged_parts() -> None:
    image = draw("RGB", (40, 30))
    crops = crop_image(image, contract(), Crops(count=10))
    assert len(crops) == 10
    assert crops[0].placement == fit_image(image, contract()).placement
    for fitted in crops:
        assert fitted.image.size == (SIZE[1], SIZE[0])
        assert fitted.placement.original == (30, 40)
        left, top, right, bottom = fitted.placement.box
        assert 0 <= left < right <= 40
        assert 0 <= top < bottom <= 30
        assert np.array_equal(np.asarray(fitted.image), np.asarray(image)[top:bottom, left:right])


@pytest.mark.parametrize("fit", ["stretch", "center-crop", "crop-only"])
def test_crops_are_never_resized(fit: Fit) -> None:
    image = draw("RGB", (40, 30))
    for fitted in crop_image(image, contract(fit=fit), Crops(count=3)):
        assert np.array_equal(np.asarray(fitted.image), np.asarray(image.crop(fitted.placement.box)))


def test_equal_seeds_give_equal_crops() -> None:
    first, second = draw("RGB", (40, 30)), Image.new("L", (40, 30))
    assert boxes(first, Crops(seed=7)) == boxes(second, Crops(seed=7))
    assert boxes(first, Crops(seed=7)) != boxes(first, Crops(seed=8))
    assert boxes(first, Crops(seed=7, count=4)) == boxes(first, Crops(seed=7))[:4]


def test_the_crops_of_a_seed_never_change() -> None:
    found = boxes(draw("RGB", (40, 30)), Crops(count=4, seed=1))
    assert [box[:2] for box in found] == [(15, 9), (5, 11), (12, 8), (9, 11)]


def test_every_position_is_possible() -> None:
    found = boxes(Image.new("RGB", (12, 13)), Crops(count=200))
    assert {box[:2] for box in found} == {(left, top) for left in range(3) for top in range(2)}


def test_an_image_of_the_crops_size_has_one_position() -> None:
    assert set(boxes(Image.new("RGB", (10, 12)), Crops(count=5))) == {(0, 0, 10, 12)}


@pytest.mark.parametrize("size", [(9, 30), (40, 11), (1, 1)])
def test_a_smaller_image_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=rf"{size[0]} x {size[1]} pixels is smaller than the model's crop of 10 x 12"):
        crop_image(Image.new("RGB", size), contract(), Crops())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"seed": -1}, "seed must be from 0 to 4294967295, got -1"),
        ({"seed": 2**32}, "got 4294967296"),
        ({"choose": "best"}, "unknown value 'best' of choose"),
    ],
)
def test_invalid_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Crops(**arguments)
