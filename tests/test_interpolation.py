"""Interpolation weights compared with SciPy."""

from __future__ import annotations

import numpy as np
import pytest

from camserve.errors import UsageError
from camserve.heatmap import upsample
from camserve.interpolation import Order, weights

SHAPES = [(7, 7), (4, 4), (1, 1), (1, 5), (2, 3), (14, 10), (56, 3)]


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("factor", [1, 2, 7, 32])
def test_upsampling_equals_scipy_zoom(shape: tuple[int, int], factor: int, order: Order) -> None:
    from scipy.ndimage import zoom

    grid = np.random.default_rng(0).normal(0, 3, shape).astype(np.float32)
    expected = zoom(grid, (factor, factor), order=order)
    enlarged = upsample(grid, (shape[0] * factor, shape[1] * factor), order)
    assert enlarged.dtype == np.float32
    assert enlarged.shape == expected.shape
    assert np.abs(enlarged - expected).max() <= 1e-6 * max(1.0, np.abs(grid).max())


@pytest.mark.parametrize("order", [0, 1, 3])
def test_corners_are_aligned(order: Order) -> None:
    grid = np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32)
    corners = np.ix_([0, -1], [0, -1])
    assert np.allclose(upsample(grid, (224, 160), order)[corners], grid[corners], rtol=0, atol=1e-6)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_the_weights_of_a_position_add_up_to_1(order: Order) -> None:
    for count, target in [(1, 1), (1, 9), (2, 9), (7, 224), (9, 4)]:
        assert np.allclose(weights(count, target, order).sum(axis=1), 1.0, rtol=0, atol=1e-12)


def test_the_orders_give_different_results() -> None:
    grid = np.random.default_rng(2).normal(size=(7, 7)).astype(np.float32)
    enlarged = [upsample(grid, (224, 224), order) for order in (0, 1, 3)]
    assert np.abs(enlarged[0] - enlarged[1]).max() > 0.05
    assert np.abs(enlarged[1] - enlarged[2]).max() > 0.05


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown interpolation order 2"):
        upsample(np.eye(2), (4, 4), 2)  # type: ignore[arg-type]
