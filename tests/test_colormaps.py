from __future__ import annotations

import sys

import matplotlib as mpl
import numpy as np
import pytest

from camserve.colormaps import BUILT_IN, color_table, colorize
from camserve.errors import UsageError


def matplotlibs(name: str) -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray(mpl.colormaps[name](np.arange(256), bytes=True))[:, :3]


@pytest.mark.parametrize(("name", "levels"), [("jet", 0), ("viridis", 1), ("gray", 1)])
def test_the_built_in_colours_are_matplotlibs(name: str, levels: int) -> None:
    difference = np.abs(matplotlibs(name).astype(int) - BUILT_IN[name])
    assert difference.max() <= levels


def test_values_get_the_colours_that_matplotlib_gives_them() -> None:
    values = np.concatenate([np.linspace(0, 1, 10_001), np.random.default_rng(0).random(10_000)])
    assert np.array_equal(mpl.colormaps["jet"](values, bytes=True)[:, :3], colorize(values))


def test_other_colours_are_matplotlibs_own() -> None:
    assert np.array_equal(color_table("magma"), matplotlibs("magma"))
    assert np.array_equal(color_table("tab10")[0], [31, 119, 180])  # ten colours become 256


def test_without_matplotlib_the_built_in_ones_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert color_table("viridis") is BUILT_IN["viridis"]
    with pytest.raises(UsageError, match=r"jet, viridis, gray.*camserve\[plot\]"):
        color_table("magma")


def test_a_table_of_ones_own_is_taken() -> None:
    table = BUILT_IN["gray"][::-1]
    assert colorize(np.array([0.0, 0.5, 1.0]), table)[:, 0].tolist() == [255, 127, 0]


@pytest.mark.parametrize("table", [np.zeros((256, 3)), np.zeros((255, 3), np.uint8), np.zeros((256, 4), np.uint8)])
def test_what_is_no_table_of_colours_is_refused(table: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(UsageError, match=r"uint8 of shape \[256, 3\]"):
        color_table(table)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="'rainbw'"):
        color_table("rainbw")


def test_the_built_in_tables_cannot_be_changed_by_chance() -> None:
    with pytest.raises(ValueError, match="read-only"):
        color_table("jet")[0] = 0
