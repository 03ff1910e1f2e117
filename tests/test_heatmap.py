from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from camserve.errors import UsageError
from camserve.heatmap import JET, as_rgb, jet, normalize, overlay, upsample


@pytest.mark.parametrize("shape", [(7, 7), (4, 4), (1, 1), (1, 5), (2, 3), (14, 10)])
@pytest.mark.parametrize("factor", [1, 2, 7, 32])
def test_upsampling_equals_scipy_zoom_of_order_one(shape: tuple[int, int], factor: int) -> None:
    from scipy.ndimage import zoom

    grid = np.random.default_rng(0).normal(0, 3, shape).astype(np.float32)
    theirs = zoom(grid, (factor, factor), order=1)
    ours = upsample(grid, (shape[0] * factor, shape[1] * factor))
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-6 * max(1.0, np.abs(grid).max())


def test_corners_stay_on_corners() -> None:
    grid = np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32)
    large = upsample(grid, (224, 160))
    corners = np.ix_([0, -1], [0, -1])
    assert np.array_equal(large[corners], grid[corners])


def test_upsampling_as_pillow_does_it_would_be_noticed() -> None:
    grid = np.random.default_rng(2).normal(size=(7, 7)).astype(np.float32)
    pillow = np.asarray(Image.fromarray(grid).resize((224, 224), Image.Resampling.BILINEAR))
    assert np.abs(upsample(grid, (224, 224)) - pillow).max() > 0.05


def test_a_map_cannot_be_drawn_on_nothing() -> None:
    with pytest.raises(UsageError):
        upsample(np.zeros((2, 2), np.float32), (0, 8))


def test_jet_equals_matplotlib() -> None:
    import matplotlib

    colormap = matplotlib.colormaps["jet"]
    assert np.array_equal(colormap(np.arange(256), bytes=True)[:, :3], JET)
    values = np.concatenate([np.linspace(0, 1, 10_001), np.random.default_rng(0).random(10_000)])
    assert np.array_equal(colormap(values, bytes=True)[:, :3], jet(values))


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
def test_an_overlay_mixes_picture_and_jet(alpha: float) -> None:
    random = np.random.default_rng(3)
    photo = random.integers(0, 256, (32, 48, 3), dtype=np.uint8)
    grid = random.normal(size=(4, 6)).astype(np.float32)
    drawn = overlay(Image.fromarray(photo), grid, alpha)
    expected = (1 - alpha) * photo + alpha * jet(normalize(upsample(grid, (32, 48))))
    assert drawn.mode == "RGB"
    assert np.abs(np.asarray(drawn, np.float64) - expected).max() <= 1.0


def test_maps_of_one_span_are_coloured_alike() -> None:
    assert normalize(np.array([-9.0, 1.0, 2.0, 3.0, 9.0]), (1.0, 3.0)).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    photo, grid = Image.new("RGB", (8, 8)), np.eye(2, dtype=np.float32)
    assert overlay(photo, grid, span=(0.0, 1.0)) == overlay(photo, grid)
    assert overlay(photo, grid / 2, span=(0.0, 1.0)) != overlay(photo, grid)
    assert overlay(photo, grid / 2) == overlay(photo, grid)


@pytest.mark.parametrize("mode", ["L", "I;16", "I", "RGBA"])
def test_an_overlay_is_rgb_whatever_the_picture(mode: str) -> None:
    drawn = overlay(Image.new(mode, (8, 8)), np.eye(2, dtype=np.float32))
    assert (drawn.mode, drawn.size) == ("RGB", (8, 8))


@pytest.mark.parametrize("alpha", [-0.1, 1.5, float("nan")])
def test_an_opacity_outside_the_unit_interval_is_refused(alpha: float) -> None:
    with pytest.raises(UsageError, match="alpha"):
        overlay(Image.new("RGB", (8, 8)), np.eye(2, dtype=np.float32), alpha)


def test_sixteen_bits_are_shown_scaled() -> None:
    wide = Image.fromarray(np.array([[0, 257 * 10], [257 * 100, 65535]], np.uint16))
    assert np.asarray(as_rgb(wide))[..., 0].tolist() == [[0, 10], [100, 255]]
