"""The map of a class: where it says that it is, in the image that was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from camserve import heatmap
from camserve.clients import ActivationMap
from camserve.clients.images.decode_options import DecodeOptions
from camserve.clients.images.placement import Box, Placement
from camserve.errors import UsageError

SIDE = 28
PHOTO = (90, 120)  # height, width


def a_map(
    grid: Any,
    *,
    box: Box = (15, 0, 105, 90),
    original: tuple[int, int] = PHOTO,
    decode_options: DecodeOptions | None = None,
) -> ActivationMap:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
    grid = np.asarray(grid, np.float32)
    return ActivationMap(3, "fox", 0.9, grid, image, Placement(original, box), decode_options or DecodeOptions())


def a_photo(height: int = PHOTO[0], width: int = PHOTO[1]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8))


def one_hot(row: int, column: int, shape: tuple[int, int] = (7, 7)) -> np.ndarray[Any, Any]:
    grid = np.zeros(shape, np.float32)
    grid[row, column] = 5.0
    return grid


@pytest.mark.parametrize("box", [(0, 0, 120, 90), (15, 0, 105, 90), (3, 5, 31, 33), (119, 89, 120, 90)])
@pytest.mark.parametrize("shape", [(7, 7), (4, 7), (2, 2)])
def test_the_peak_is_where_the_map_over_the_original_is_greatest(box: Box, shape: tuple[int, int]) -> None:
    random = np.random.default_rng(2)
    for _ in range(20):
        cam = a_map(random.normal(size=shape), box=box)
        x, y = cam.peak
        left, top, right, bottom = box
        assert left <= x < right
        assert top <= y < bottom
        drawn = heatmap.upsample(cam.grid, (bottom - top, right - left))
        slope = np.ptp(cam.grid) * sum((shape[axis] - 1) / max(1, drawn.shape[axis] - 1) for axis in (0, 1))
        assert drawn[y - top, x - left] >= drawn.max() - slope / 2  # within half a pixel of the very place


def test_the_peak_of_a_whole_factor_is_exact() -> None:
    for row, column in np.ndindex(7, 7):
        cam = a_map(one_hot(row, column), box=(10, 20, 10 + 61, 20 + 61))
        assert cam.peak == (10 + 10 * column, 20 + 10 * row)
        assert cam.upsample((61, 61))[cam.peak[1] - 20, cam.peak[0] - 10] == 5.0


def test_a_map_of_one_cell_has_its_peak_in_the_middle_of_what_was_seen() -> None:
    assert a_map([[1.0]], box=(15, 0, 105, 90)).peak == (60, 45)
    assert a_map([[0.0, 1.0]], box=(15, 0, 105, 90)).peak == (104, 45)


@pytest.mark.parametrize("value", [0.0, -2.5])
def test_a_map_that_speaks_nowhere_for_the_class_has_a_peak_and_no_box(value: float) -> None:
    cam = a_map(np.full((7, 7), value))
    with np.errstate(all="raise"):
        assert cam.peak == (15, 0)
        assert [cam.bbox(threshold) for threshold in (0.0, 0.2, 0.999999999)] == [None] * 3
        assert cam.overlay().size == (SIDE, SIDE)


def test_a_map_that_is_the_same_everywhere_has_all_that_was_seen_as_its_box() -> None:
    assert a_map(np.full((7, 7), 2.5)).bbox() == (15, 0, 105, 90)


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.9])
def test_the_box_is_that_of_the_largest_part_that_scipy_finds(threshold: float) -> None:
    from scipy import ndimage

    random = np.random.default_rng(3)
    for _ in range(50):
        cam = a_map(random.normal(size=(7, 7)), box=(0, 0, SIDE, SIDE), original=(SIDE, SIDE))
        heat = cam.upsample()
        labels, count = ndimage.label(heat > threshold * heat.max())
        sizes = ndimage.sum_labels(np.ones_like(labels), labels, range(1, count + 1))
        rows, columns = ndimage.find_objects(labels)[int(np.argmax(sizes))]
        assert cam.bbox(threshold) == (columns.start, rows.start, columns.stop, rows.stop)


def test_a_box_lies_in_the_original_where_the_network_saw_it() -> None:
    grid = np.zeros((SIDE, SIDE), np.float32)
    grid[7:14, 21:28] = 1.0
    assert a_map(grid, box=(20, 10, 20 + 2 * SIDE, 10 + 2 * SIDE)).bbox() == (62, 24, 76, 38)
    grid[13, :] = grid[:, 27] = 0.0
    assert a_map(grid, box=(20, 10, 20 + SIDE // 2, 10 + SIDE // 2)).bbox() == (30, 13, 34, 17)  # cut pixels too


def test_what_speaks_neither_for_the_class_nor_against_it_is_in_no_box() -> None:
    grid = np.zeros((SIDE, SIDE), np.float32)
    grid[3:5, 10:12] = 1.0
    assert a_map(grid, box=(0, 0, SIDE, SIDE)).bbox(0.0) == (10, 3, 12, 5)


@pytest.mark.parametrize("threshold", [-0.1, 1.0, 20.0, float("nan")])
def test_a_threshold_that_is_no_share_is_refused(threshold: float) -> None:
    with pytest.raises(UsageError, match="threshold"):
        a_map(one_hot(1, 1)).bbox(threshold)


def test_over_the_original_the_map_lies_where_the_network_saw_it() -> None:
    photo, cam = a_photo(), a_map(np.random.default_rng(4).normal(size=(7, 7)))
    drawn = cam.overlay(photo, alpha=0.7, colormap="viridis")
    assert drawn.size == photo.size
    left, top, right, bottom = cam.placement.box
    expected = heatmap.overlay(photo.crop(cam.placement.box), cam.grid, 0.7, colormap="viridis")
    assert drawn.crop((left, top, right, bottom)) == expected
    assert drawn.crop((0, 0, left, 90)) == photo.crop((0, 0, left, 90))
    assert drawn.crop((right, 0, 120, 90)) == photo.crop((right, 0, 120, 90))


def test_the_peak_is_the_hottest_pixel_of_the_map_over_the_original() -> None:
    cam = a_map(one_hot(2, 5), box=(20, 10, 20 + 61, 10 + 61))
    drawn = np.asarray(cam.overlay(a_photo(), alpha=1.0, colormap="gray"))[10:71, 20:81, 0]
    y, x = np.unravel_index(drawn.argmax(), drawn.shape)
    assert cam.peak == (20 + int(x), 10 + int(y))


def test_a_map_is_drawn_at_the_size_asked_for() -> None:
    cam = a_map(one_hot(3, 3))
    assert cam.overlay(size=(40, 60)).size == (60, 40)
    assert cam.overlay(a_photo(), size=(45, 60)).size == (60, 45)
    assert cam.overlay(a_photo(), size=(2, 3)).size == (3, 2)
    for image in (None, a_photo()):
        with pytest.raises(UsageError, match="0 x 60"):
            cam.overlay(image, size=(0, 60))


def test_another_image_than_the_one_classified_is_refused() -> None:
    with pytest.raises(UsageError, match="121 x 90 pixels is not the one of 120 x 90"):
        a_map(one_hot(3, 3)).overlay(a_photo(width=121))


def test_the_original_is_read_as_it_was_for_the_answer(tmp_path: Path) -> None:
    photo, path = a_photo(), tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    photo.save(path, exif=exif, quality=95)
    grid = one_hot(1, 1)
    lying = a_map(grid, box=(0, 0, 120, 90)).overlay(path, alpha=0.0)
    upright = a_map(grid, box=(0, 0, 120, 90), decode_options=DecodeOptions(exif=True)).overlay(path, alpha=0.0)
    assert upright == lying.transpose(Image.Transpose.ROTATE_180)


def test_a_map_is_enlarged_to_the_input_unless_told_otherwise() -> None:
    cam = a_map(np.random.default_rng(5).normal(size=(7, 7)))
    assert cam.input_size == (SIDE, SIDE)
    assert np.array_equal(cam.upsample(), heatmap.upsample(cam.grid, (SIDE, SIDE), 1))
    assert np.array_equal(cam.upsample((56, 84), 3), heatmap.upsample(cam.grid, (56, 84), 3))


def test_what_is_printed_of_a_map_is_short() -> None:
    assert repr(a_map(one_hot(1, 1))) == "ActivationMap(index=3, label='fox', probability=0.9)"
