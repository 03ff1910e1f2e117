"""Positions, boxes and overlays of a class activation map in the original image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from camserve import heatmap
from camserve.clients import ActivationMap
from camserve.errors import UsageError
from camserve.images.decode_options import DecodeOptions
from camserve.images.placement import Box, Placement

SIDE = 28
PHOTO = (90, 120)  # height, width


def make_map(
    grid: Any,
    *,
    box: Box = (15, 0, 105, 90),
    original: tuple[int, int] = PHOTO,
    decode_options: DecodeOptions | None = None,
) -> ActivationMap:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
    grid = np.asarray(grid, np.float32)
    return ActivationMap(3, "fox", 0.9, grid, image, Placement(original, box), decode_options or DecodeOptions())


def make_photo(height: int = PHOTO[0], width: int = PHOTO[1]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8))


def random_grid(rows: int = 7, columns: int = 7) -> np.ndarray[Any, Any]:
    return np.random.default_rng(4).normal(size=(rows, columns)).astype(np.float32)


def one_hot(row: int, column: int, shape: tuple[int, int] = (7, 7)) -> np.ndarray[Any, Any]:
    grid = np.zeros(shape, np.float32)
    grid[row, column] = 5.0
    return grid


@pytest.mark.parametrize("box", [(0, 0, 120, 90), (15, 0, 105, 90), (3, 5, 31, 33), (119, 89, 120, 90)])
@pytest.mark.parametrize("shape", [(7, 7), (4, 7), (2, 2)])
def test_the_peak_is_where_the_enlarged_map_is_highest(box: Box, shape: tuple[int, int]) -> None:
    random = np.random.default_rng(2)
    for _ in range(20):
        cam = make_map(random.normal(size=shape), box=box)
        x, y = cam.peak
        left, top, right, bottom = box
        assert left <= x < right
        assert top <= y < bottom
        enlarged = heatmap.upsample(cam.grid, (bottom - top, right - left))
        slope = np.ptp(cam.grid) * sum((shape[axis] - 1) / max(1, enlarged.shape[axis] - 1) for axis in (0, 1))
        assert enlarged[y - top, x - left] >= enlarged.max() - slope / 2  # at most half a pixel away


def test_the_peak_is_exact_for_a_whole_factor() -> None:
    for row, column in np.ndindex(7, 7):
        cam = make_map(one_hot(row, column), box=(10, 20, 10 + 61, 20 + 61))
        assert cam.peak == (10 + 10 * column, 20 + 10 * row)
        assert cam.upsample((61, 61))[cam.peak[1] - 20, cam.peak[0] - 10] == 5.0


def test_the_peak_of_a_single_cell_is_in_the_middle() -> None:
    assert make_map([[1.0]], box=(15, 0, 105, 90)).peak == (60, 45)
    assert make_map([[0.0, 1.0]], box=(15, 0, 105, 90)).peak == (104, 45)


@pytest.mark.parametrize("value", [0.0, -2.5])
def test_a_map_without_positive_values_has_no_box(value: float) -> None:
    cam = make_map(np.full((7, 7), value))
    with np.errstate(all="raise"):
        assert cam.peak == (15, 0)
        assert [cam.bbox(threshold) for threshold in (0.0, 0.2, 0.999999999)] == [None] * 3
        assert cam.overlay() == cam.image


def test_the_box_of_a_constant_map_is_the_whole_input() -> None:
    assert make_map(np.full((7, 7), 2.5)).bbox() == (15, 0, 105, 90)


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.9])
def test_the_box_encloses_the_largest_region_that_scipy_finds(threshold: float) -> None:
    from scipy import ndimage

    random = np.random.default_rng(3)
    for _ in range(50):
        cam = make_map(random.normal(size=(7, 7)), box=(0, 0, SIDE, SIDE), original=(SIDE, SIDE))
        enlarged = cam.upsample()
        labels, count = ndimage.label(enlarged > threshold * enlarged.max())
        sizes = ndimage.sum_labels(np.ones_like(labels), labels, range(1, count + 1))
        rows, columns = ndimage.find_objects(labels)[int(np.argmax(sizes))]
        assert cam.bbox(threshold) == (columns.start, rows.start, columns.stop, rows.stop)


def test_a_box_is_in_pixels_of_the_original_image() -> None:
    grid = np.zeros((SIDE, SIDE), np.float32)
    grid[7:14, 21:28] = 1.0
    assert make_map(grid, box=(20, 10, 20 + 2 * SIDE, 10 + 2 * SIDE)).bbox() == (62, 24, 76, 38)
    grid[13, :] = grid[:, 27] = 0.0
    assert make_map(grid, box=(20, 10, 20 + SIDE // 2, 10 + SIDE // 2)).bbox() == (30, 13, 34, 17)  # rounded outwards


def test_values_of_zero_are_outside_every_box() -> None:
    grid = np.zeros((SIDE, SIDE), np.float32)
    grid[3:5, 10:12] = 1.0
    assert make_map(grid, box=(0, 0, SIDE, SIDE)).bbox(0.0) == (10, 3, 12, 5)


@pytest.mark.parametrize("threshold", [-0.1, 1.0, 20.0, float("nan")])
def test_a_threshold_outside_0_to_1_is_refused(threshold: float) -> None:
    with pytest.raises(UsageError, match="threshold must be from 0 to below 1, got"):
        make_map(one_hot(1, 1)).bbox(threshold)


@pytest.mark.parametrize("style", ["highlight", "notebook"])
def test_the_map_covers_the_part_that_the_network_received(style: heatmap.Style) -> None:
    photo, cam = make_photo(), make_map(random_grid())
    drawing = cam.overlay(photo, style=style, alpha=0.7, colormap="viridis")
    assert drawing.size == photo.size
    left, top, right, bottom = cam.placement.box
    expected = heatmap.overlay(photo.crop(cam.placement.box), cam.grid, heatmap.look(style, 0.7, "viridis"))
    assert drawing.crop((left, top, right, bottom)) == expected
    assert drawing.crop((0, 0, left, 90)) == photo.crop((0, 0, left, 90))
    assert drawing.crop((right, 0, 120, 90)) == photo.crop((right, 0, 120, 90))


def test_by_default_opacity_follows_the_map() -> None:
    cam, photo = make_map(one_hot(3, 3), box=(0, 0, 120, 90)), make_photo()
    assert cam.overlay(photo) == heatmap.overlay(photo, cam.grid, heatmap.look("highlight"))
    lowest = cam.upsample(PHOTO) == 0.0
    assert np.array_equal(np.asarray(cam.overlay(photo))[lowest], np.asarray(photo)[lowest])


def test_style_notebook_is_half_image_and_half_jet() -> None:
    from matplotlib import colormaps

    cam = make_map(random_grid())
    heat = heatmap.normalize(cam.upsample())
    expected = (np.asarray(cam.image, np.float64) + colormaps["jet"](heat, bytes=True)[..., :3]) / 2
    assert np.abs(np.asarray(cam.overlay(style="notebook")) - expected).max() <= 1.0


def test_the_peak_is_the_brightest_pixel_of_an_opaque_overlay() -> None:
    cam = make_map(one_hot(2, 5), box=(20, 10, 20 + 61, 10 + 61))
    drawing = cam.overlay(make_photo(), style="notebook", alpha=1.0, colormap="gray")
    values = np.asarray(drawing)[10:71, 20:81, 0]
    y, x = np.unravel_index(values.argmax(), values.shape)
    assert cam.peak == (20 + int(x), 10 + int(y))


def test_an_overlay_has_the_requested_size() -> None:
    cam = make_map(one_hot(3, 3))
    assert cam.overlay(size=(40, 60)).size == (60, 40)
    assert cam.overlay(make_photo(), size=(45, 60)).size == (60, 45)
    assert cam.overlay(make_photo(), size=(2, 3)).size == (3, 2)
    for image in (None, make_photo()):
        with pytest.raises(UsageError, match="0 x 60"):
            cam.overlay(image, size=(0, 60))


def test_a_caption_is_added_below_the_overlay() -> None:
    cam = make_map(random_grid())
    for image in (None, make_photo()):
        plain = cam.overlay(image, size=(360, 480))
        captioned = cam.overlay(image, size=(360, 480), caption=True)
        assert captioned.height > plain.height
        assert captioned.crop((0, 0, *plain.size)) == plain


def test_another_image_than_the_classified_one_is_refused() -> None:
    with pytest.raises(UsageError, match="121 x 90 pixels, but the classified image had 120 x 90"):
        make_map(one_hot(3, 3)).overlay(make_photo(width=121))


def test_the_original_is_decoded_with_the_options_of_the_result(tmp_path: Path) -> None:
    photo, path = make_photo(), tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[0x0112] = 3  # rotated by 180 degrees
    photo.save(path, exif=exif, quality=95)
    grid, box = one_hot(1, 1), (0, 0, 120, 90)
    as_stored = make_map(grid, box=box).overlay(path, alpha=0.0)
    upright = make_map(grid, box=box, decode_options=DecodeOptions(exif=True)).overlay(path, alpha=0.0)
    assert upright == as_stored.transpose(Image.Transpose.ROTATE_180)


def test_by_default_a_map_is_enlarged_to_the_input() -> None:
    cam = make_map(random_grid())
    assert cam.input_size == (SIDE, SIDE)
    assert np.array_equal(cam.upsample(), heatmap.upsample(cam.grid, (SIDE, SIDE), 1))
    assert np.array_equal(cam.upsample((56, 84), 3), heatmap.upsample(cam.grid, (56, 84), 3))


def test_the_representation_of_a_map_is_short() -> None:
    assert repr(make_map(one_hot(1, 1))) == "ActivationMap(index=3, label='fox', probability=0.9)"
