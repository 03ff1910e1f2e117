"""Built-in colormaps, matplotlib's, and tables."""

from __future__ import annotations

import re
import sys

import matplotlib as mpl
import numpy as np
import pytest

from camserve.colormaps import BUILT_IN, color_table, colorize, css_gradient
from camserve.errors import UsageError


def matplotlib_table(name: str) -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray(mpl.colormaps[name](np.arange(256), bytes=True))[:, :3]


@pytest.mark.parametrize(("name", "levels"), [("viridis", 1), ("jet", 0), ("gray", 1)])
def test_built_in_colormaps_equal_matplotlibs(name: str, levels: int) -> None:
    difference = np.abs(matplotlib_table(name).astype(int) - BUILT_IN[name])
    assert difference.max() <= levels


def test_the_lightness_of_viridis_increases() -> None:
    linear = (BUILT_IN["viridis"] / 255.0) ** 2.2
    lightness = np.cbrt(linear @ [0.2126, 0.7152, 0.0722])
    assert (np.diff(lightness[::8]) > 0).all()


def test_values_get_matplotlibs_colors() -> None:
    values = np.concatenate([np.linspace(0, 1, 10_001), np.random.default_rng(0).random(10_000)])
    assert np.array_equal(mpl.colormaps["jet"](values, bytes=True)[:, :3], colorize(values, color_table("jet")))


def test_other_names_are_matplotlibs_colormaps() -> None:
    assert np.array_equal(color_table("magma"), matplotlib_table("magma"))
    assert np.array_equal(color_table("tab10")[0], [31, 119, 180])  # its 10 colors fill the table of 256


def test_built_in_colormaps_do_not_require_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert color_table("viridis") is BUILT_IN["viridis"]
    with pytest.raises(UsageError, match=r"viridis, jet, gray.*camserve\[plot\]"):
        color_table("magma")


def test_a_table_of_colors_is_accepted() -> None:
    table = color_table(BUILT_IN["gray"][::-1])
    assert colorize(np.array([0.0, 0.5, 1.0]), table)[:, 0].tolist() == [255, 127, 0]


@pytest.mark.parametrize("table", [np.zeros((256, 3)), np.zeros((255, 3), np.uint8), np.zeros((256, 4), np.uint8)])
def test_a_table_of_another_shape_or_type_is_refused(table: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(UsageError, match=r"must be 256 colors, got .*uint8 of shape \[256, 3\]"):
        color_table(table)


def test_an_unknown_colormap_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown colormap 'rainbw'"):
        color_table("rainbw")


def test_built_in_tables_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        color_table("jet")[0] = 0


def test_a_css_gradient_has_the_colors_from_first_to_last() -> None:
    stops = re.findall(r"#[0-9a-f]{6}", css_gradient("gray", 3))
    assert stops == ["#000000", "#808080", "#ffffff"]
