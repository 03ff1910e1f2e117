"""Positions in the network's input and in the original image."""

from __future__ import annotations

import pytest

from camserve.images.placement import Placement


def test_the_edges_of_the_input_are_the_edges_of_the_box() -> None:
    placement = Placement((100, 200), (50, 20, 150, 80))
    assert placement.to_original(0, 0) == (50, 20)
    assert placement.to_original(1, 1) == (150, 80)
    assert placement.to_original(0.5, 0.5) == (100, 50)


def test_positions_in_the_input_and_in_the_original_convert_into_each_other() -> None:
    placement = Placement((100, 200), (50, 20, 150, 80))
    assert placement.to_input(50, 80) == (0, 1)
    assert placement.to_input(25, 95) == (-0.25, 1.25)
    assert placement.to_input(*placement.to_original(0.3, 0.7)) == pytest.approx((0.3, 0.7))


@pytest.mark.parametrize("cells", [1, 7])
def test_the_centers_of_cells_are_evenly_spaced(cells: int) -> None:
    placement = Placement((70, 140), (0, 0, 140, 70))
    found = [placement.to_original((cell + 0.5) / cells, 0)[0] for cell in range(cells)]
    assert found == pytest.approx([140 / cells * (cell + 0.5) for cell in range(cells)])
