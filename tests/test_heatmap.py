"""Maps drawn over images: normalization, styles, opacity and colors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from camserve.colormaps import color_table, colorize
from camserve.errors import UsageError
from camserve.heatmap import Look, Style, as_rgb, layer, look, normalize, overlay, upsample, value_range

NOTEBOOK = look("notebook")


def random_photo(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8))


def random_grid(rows: int, columns: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(6).normal(size=(rows, columns)).astype(np.float32)


def test_upsampling_differs_from_pillows() -> None:
    grid = random_grid(7, 7)
    pillow = np.asarray(Image.fromarray(grid).resize((224, 224), Image.Resampling.BILINEAR))
    assert np.abs(upsample(grid, (224, 224)) - pillow).max() > 0.05


def test_a_size_without_pixels_is_refused() -> None:
    with pytest.raises(UsageError, match="must be at least 1, got 0 x 8"):
        upsample(np.zeros((2, 2), np.float32), (0, 8))


@pytest.mark.parametrize("value", [0.0, -3.5, 7.0])
def test_a_constant_map_leaves_the_image_unchanged(value: float) -> None:
    grid, photo = np.full((7, 7), value, np.float32), random_photo(56, 56)
    with np.errstate(all="raise"):
        assert np.array_equal(normalize(grid), np.zeros((7, 7)))
        assert overlay(photo, grid) == photo
        overlay(photo, grid, NOTEBOOK)


def test_a_negative_map_is_normalized_from_lowest_to_highest() -> None:
    assert normalize(np.array([[-4.0, -3.0], [-2.0, -2.0]], np.float32)).tolist() == [[0.0, 0.5], [1.0, 1.0]]


def test_a_map_of_extreme_values_does_not_overflow() -> None:
    extreme = np.array([[-3e38, 3e38]], np.float32)
    with np.errstate(all="raise"):
        assert normalize(extreme).tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 1.0])
def test_style_notebook_blends_at_one_opacity(alpha: float) -> None:
    photo, grid = random_photo(32, 48), random_grid(4, 6)
    drawing = overlay(photo, grid, look("notebook", alpha))
    colors = colorize(normalize(upsample(grid, (32, 48))), color_table("jet"))
    expected = (1 - alpha) * np.asarray(photo, np.float64) + alpha * colors
    assert drawing.mode == "RGB"
    assert np.abs(np.asarray(drawing) - expected).max() <= 1.0


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.7, 1.0])
def test_style_highlight_blends_at_the_opacity_of_the_map(alpha: float) -> None:
    photo, grid = random_photo(32, 48), random_grid(4, 6)
    drawing = overlay(photo, grid, look("highlight", alpha))
    values = normalize(upsample(grid, (32, 48)))
    opacity = alpha * values[..., np.newaxis]
    expected = (1 - opacity) * np.asarray(photo, np.float64) + opacity * colorize(values, color_table("viridis"))
    assert np.abs(np.asarray(drawing) - expected).max() <= 1.5  # opacity is rounded to 8 bits


def test_the_image_is_unchanged_where_the_map_is_lowest() -> None:
    photo, grid = random_photo(60, 60), np.zeros((6, 6), np.float32)
    grid[2, 3] = 5.0
    lowest = upsample(grid, (60, 60)) == 0.0
    assert 0.4 < lowest.mean() < 1.0
    pixels, drawing = np.asarray(photo), np.asarray(overlay(photo, grid))
    assert np.array_equal(drawing[lowest], pixels[lowest])
    changed = (drawing != pixels).any(axis=2)
    assert changed[~lowest].mean() > 0.9


def test_opacity_grows_with_the_map() -> None:
    photo = Image.new("RGB", (100, 1), (0, 0, 0))
    red = np.asarray(overlay(photo, np.array([[0.0, 1.0]]), Look("highlight", 0.8, np.full((256, 3), 255, np.uint8))))
    assert (np.diff(red[0, :, 0].astype(int)) >= 0).all()
    assert (red[0, 0, 0], red[0, -1, 0]) == (0, 204)


def test_maps_of_one_span_have_one_color_scale() -> None:
    assert normalize(np.array([-9.0, 1.0, 2.0, 3.0, 9.0]), (1.0, 3.0)).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    photo, grid = Image.new("RGB", (8, 8)), np.eye(2, dtype=np.float32)
    assert overlay(photo, grid, span=(0.0, 1.0)) == overlay(photo, grid)
    assert overlay(photo, grid / 2, span=(0.0, 1.0)) != overlay(photo, grid)
    assert overlay(photo, grid / 2) == overlay(photo, grid)


@pytest.mark.parametrize("size", [(7, 7), (224, 224), (5, 300), (1, 1)])
def test_the_value_range_is_that_of_the_enlarged_map(size: tuple[int, int]) -> None:
    grid = random_grid(7, 7)
    enlarged = upsample(grid, size)
    assert value_range(grid, size) == (enlarged.min(), enlarged.max())


@pytest.mark.parametrize("mode", ["L", "I;16", "I", "RGBA"])
def test_an_overlay_is_rgb_for_every_mode(mode: str) -> None:
    drawing = overlay(Image.new(mode, (8, 8)), np.eye(2, dtype=np.float32))
    assert (drawing.mode, drawing.size) == ("RGB", (8, 8))


@pytest.mark.parametrize("alpha", [-0.1, 1.5, float("nan")])
def test_an_alpha_outside_0_to_1_is_refused(alpha: float) -> None:
    with pytest.raises(UsageError, match="alpha must be from 0 to 1, got"):
        look(alpha=alpha)


def test_an_unknown_style_is_refused() -> None:
    with pytest.raises(UsageError, match=r"unknown style 'jet'.*highlight or notebook"):
        look("jet")  # type: ignore[arg-type]


def test_sixteen_bits_are_scaled_to_eight() -> None:
    wide = Image.fromarray(np.array([[0, 257 * 10], [257 * 100, 65535]], np.uint16))
    assert np.asarray(as_rgb(wide))[..., 0].tolist() == [[0, 10], [100, 255]]


def test_bands_of_a_large_image_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, grid = Image.new("RGB", (640, 480)), random_grid(7, 7)
    opaque = look("notebook", 1.0)
    whole = overlay(photo, grid, opaque)
    monkeypatch.setattr("camserve.heatmap._PIXELS_PER_BAND", 10_000)
    assert overlay(photo, grid, opaque) == whole
    assert np.array_equal(np.asarray(whole), colorize(normalize(upsample(grid, (480, 640))), opaque.table))


@pytest.mark.parametrize("style", ["highlight", "notebook"])
def test_outside_the_box_the_image_is_unchanged(style: Style) -> None:
    photo, grid = random_photo(40, 60), random_grid(4, 4)
    drawing = overlay(photo, grid, look(style), box=(10, 5, 50, 35))
    assert drawing.crop((10, 5, 50, 35)) == overlay(photo.crop((10, 5, 50, 35)), grid, look(style))
    blank = Image.new("RGB", (40, 30))
    for image in (drawing, photo):
        image.paste(blank, (10, 5))
    assert drawing == photo


def test_the_original_image_is_not_modified() -> None:
    photo = Image.new("RGB", (8, 8), (9, 9, 9))
    overlay(photo, np.eye(2, dtype=np.float32), box=(0, 0, 4, 4))
    assert photo == Image.new("RGB", (8, 8), (9, 9, 9))


def test_an_overlay_has_no_metadata() -> None:
    photo = Image.new("RGB", (8, 8))
    photo.info["exif"] = b"Exif: GPS position"
    assert overlay(photo, np.eye(2, dtype=np.float32)).info == {}
    assert photo.info


@pytest.mark.parametrize(
    ("colormap", "lowest", "highest"),
    [("gray", (0, 0, 0), (255, 255, 255)), ("viridis", (68, 1, 84), (253, 231, 36)), ("jet", (0, 0, 127), (127, 0, 0))],
)
def test_a_map_is_drawn_in_the_chosen_colormap(
    colormap: str, lowest: tuple[int, ...], highest: tuple[int, ...]
) -> None:
    grid = np.array([[0.0, 1.0], [1.0, 1.0]])
    drawing = overlay(Image.new("RGB", (9, 9)), grid, look("notebook", 1.0, colormap))
    assert (drawing.getpixel((0, 0)), drawing.getpixel((8, 8))) == (lowest, highest)


@pytest.mark.parametrize("style", ["highlight", "notebook"])
def test_a_layer_over_an_image_is_its_overlay(style: Style) -> None:
    generator = np.random.default_rng(0)
    image = Image.fromarray(generator.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    grid = generator.normal(size=(5, 7)).astype(np.float32)
    alone = layer(grid, (40, 60), look(style)).convert("RGBA")
    laid = Image.alpha_composite(image.convert("RGBA"), alone).convert("RGB")
    difference = np.asarray(laid).astype(int) - np.asarray(overlay(image, grid, look(style)))
    assert abs(difference).max() <= 2
