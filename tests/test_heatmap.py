from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from camserve.colormaps import colorize
from camserve.errors import UsageError
from camserve.heatmap import as_rgb, normalize, overlay, upsample


def test_upsampling_as_pillow_does_it_would_be_noticed() -> None:
    grid = np.random.default_rng(2).normal(size=(7, 7)).astype(np.float32)
    pillow = np.asarray(Image.fromarray(grid).resize((224, 224), Image.Resampling.BILINEAR))
    assert np.abs(upsample(grid, (224, 224)) - pillow).max() > 0.05


def test_a_map_cannot_be_drawn_on_nothing() -> None:
    with pytest.raises(UsageError):
        upsample(np.zeros((2, 2), np.float32), (0, 8))


@pytest.mark.parametrize("value", [0.0, -3.5, 7.0])
def test_a_constant_map_draws_without_dividing_by_zero(value: float) -> None:
    grid = np.full((7, 7), value, np.float32)
    with np.errstate(all="raise"):
        assert np.array_equal(normalize(grid), np.zeros((7, 7)))
        overlay(Image.new("RGB", (56, 56)), grid)


def test_a_negative_map_is_stretched_from_least_to_greatest() -> None:
    assert normalize(np.array([[-4.0, -3.0], [-2.0, -2.0]], np.float32)).tolist() == [[0.0, 0.5], [1.0, 1.0]]


def test_a_map_of_the_largest_numbers_does_not_overflow() -> None:
    extreme = np.array([[-3e38, 3e38]], np.float32)
    with np.errstate(all="raise"):
        assert normalize(extreme).tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 1.0])
def test_an_overlay_mixes_image_and_jet(alpha: float) -> None:
    random = np.random.default_rng(3)
    photo = random.integers(0, 256, (32, 48, 3), dtype=np.uint8)
    grid = random.normal(size=(4, 6)).astype(np.float32)
    drawn = overlay(Image.fromarray(photo), grid, alpha)
    expected = (1 - alpha) * photo + alpha * colorize(normalize(upsample(grid, (32, 48))))
    assert drawn.mode == "RGB"
    assert np.abs(np.asarray(drawn, np.float64) - expected).max() <= 1.0


def test_maps_of_one_span_are_coloured_alike() -> None:
    assert normalize(np.array([-9.0, 1.0, 2.0, 3.0, 9.0]), (1.0, 3.0)).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    photo, grid = Image.new("RGB", (8, 8)), np.eye(2, dtype=np.float32)
    assert overlay(photo, grid, span=(0.0, 1.0)) == overlay(photo, grid)
    assert overlay(photo, grid / 2, span=(0.0, 1.0)) != overlay(photo, grid)
    assert overlay(photo, grid / 2) == overlay(photo, grid)


@pytest.mark.parametrize("mode", ["L", "I;16", "I", "RGBA"])
def test_an_overlay_is_rgb_whatever_the_image(mode: str) -> None:
    drawn = overlay(Image.new(mode, (8, 8)), np.eye(2, dtype=np.float32))
    assert (drawn.mode, drawn.size) == ("RGB", (8, 8))


@pytest.mark.parametrize("alpha", [-0.1, 1.5, float("nan")])
def test_an_opacity_outside_the_unit_interval_is_refused(alpha: float) -> None:
    with pytest.raises(UsageError, match="alpha"):
        overlay(Image.new("RGB", (8, 8)), np.eye(2, dtype=np.float32), alpha)


def test_sixteen_bits_are_shown_scaled() -> None:
    wide = Image.fromarray(np.array([[0, 257 * 10], [257 * 100, 65535]], np.uint16))
    assert np.asarray(as_rgb(wide))[..., 0].tolist() == [[0, 10], [100, 255]]


def test_a_large_image_is_coloured_in_parts_that_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, grid = Image.new("RGB", (640, 480)), np.random.default_rng(4).normal(size=(7, 7)).astype(np.float32)
    whole = overlay(photo, grid, 1.0)
    monkeypatch.setattr("camserve.heatmap._PIXELS_AT_ONCE", 10_000)
    assert overlay(photo, grid, 1.0) == whole
    assert np.array_equal(np.asarray(whole), colorize(normalize(upsample(grid, (480, 640)))))


def test_a_map_of_a_part_leaves_the_rest_as_it_is() -> None:
    photo = Image.fromarray(np.random.default_rng(5).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    grid = np.random.default_rng(6).normal(size=(4, 4)).astype(np.float32)
    drawn = overlay(photo, grid, box=(10, 5, 50, 35))
    assert drawn.crop((10, 5, 50, 35)) == overlay(photo.crop((10, 5, 50, 35)), grid)
    blank = Image.new("RGB", (40, 30))
    for image in (drawn, photo):
        image.paste(blank, (10, 5))
    assert drawn == photo


def test_a_image_is_drawn_on_without_being_changed() -> None:
    photo = Image.new("RGB", (8, 8), (9, 9, 9))
    overlay(photo, np.eye(2, dtype=np.float32), box=(0, 0, 4, 4))
    assert photo == Image.new("RGB", (8, 8), (9, 9, 9))


def test_a_drawing_does_not_carry_where_the_photo_was_taken() -> None:
    photo = Image.new("RGB", (8, 8))
    photo.info["exif"] = b"Exif: somebody's garden"
    assert overlay(photo, np.eye(2, dtype=np.float32)).info == {}
    assert photo.info


@pytest.mark.parametrize(
    ("colormap", "least", "greatest"),
    [("gray", (0, 0, 0), (255, 255, 255)), ("viridis", (68, 1, 84), (253, 231, 36)), ("jet", (0, 0, 127), (127, 0, 0))],
)
def test_a_map_is_drawn_in_the_colours_asked_for(
    colormap: str, least: tuple[int, ...], greatest: tuple[int, ...]
) -> None:
    drawn = overlay(Image.new("RGB", (9, 9)), np.array([[0.0, 1.0], [1.0, 1.0]]), 1.0, colormap=colormap)
    assert (drawn.getpixel((0, 0)), drawn.getpixel((8, 8))) == (least, greatest)
