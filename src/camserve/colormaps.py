"""Colormaps: viridis, jet and gray, any other colormap of matplotlib, or a table of 256 colors."""

from __future__ import annotations

from typing import Any

import numpy as np

from camserve.errors import UsageError

__all__ = ["BUILT_IN", "Colormap", "color_table", "colorize", "css_gradient"]

Array = np.ndarray[Any, Any]

Colormap = str | Array
"""The name of a colormap, or a table of 256 colors: uint8 `[256, 3]` in RGB, from the lowest value to the highest."""

# Breakpoints (position, value) of matplotlib's jet, one line per channel.
_JET = (
    ((0.0, 0.35, 0.66, 0.89, 1.0), (0.0, 0.0, 1.0, 1.0, 0.5)),
    ((0.0, 0.125, 0.375, 0.64, 0.91, 1.0), (0.0, 0.0, 1.0, 1.0, 0.0, 0.0)),
    ((0.0, 0.11, 0.34, 0.65, 1.0), (0.5, 1.0, 1.0, 0.0, 0.0)),
)

# Evenly spaced samples of matplotlib's viridis, which is perceptually uniform (CC0, by S. van der Walt, N. Smith and
# E. Firing). Linear interpolation between them differs from matplotlib's table by at most 1 of 255.
_VIRIDIS = (
    "440154470f62481c6e482878463480423f863e4a893a558c355e8d31688e2d718e297a8e26838e228c8d"
    "1f958c1e9d8921a68528af8035b77945bf7057c7666cce5983d44c9bd93cb4dd2ccde11ce6e417fde724"
)


def color_table(colormap: Colormap) -> Array:
    """Return the 256 colors of a colormap, uint8 `[256, 3]` in RGB.

    Raises:
        UsageError: If the name is unknown, or the table has another shape or data type.
    """
    if not isinstance(colormap, str):
        return _check_table(np.asarray(colormap))
    table = BUILT_IN.get(colormap)
    return _from_matplotlib(colormap) if table is None else table


def colorize(values: Array, table: Array) -> Array:
    """Return the colors of values as matplotlib computes them: uint8 RGB in an additional last axis.

    Args:
        values: Values from 0 to 1; lower and higher values get the first and the last color.
        table: Colors, uint8 `[256, 3]` in RGB; see `color_table`.
    """
    indices = (np.asarray(values) * len(table)).astype(np.intp)
    colored: Array = table[indices.clip(0, len(table) - 1)]
    return colored


def css_gradient(colormap: Colormap, stops: int = 12) -> str:
    """Return a colormap as a CSS image, `linear-gradient(...)`, with the lowest value on the left."""
    colors = color_table(colormap)[np.linspace(0, 255, stops).round().astype(np.intp)]
    return f"linear-gradient(to right,{','.join(f'#{bytes(color).hex()}' for color in colors)})"


def _check_table(table: Array) -> Array:
    if table.shape != (256, 3) or table.dtype != np.uint8:
        raise UsageError(
            f"a colormap must be 256 colors, got {table.dtype} of shape {list(table.shape)}",
            hint="Pass the name of a colormap, or an array of uint8 of shape [256, 3] in RGB",
        )
    return table


def _from_matplotlib(name: str) -> Array:
    unknown = f"unknown colormap {name!r}"
    try:
        import matplotlib  # noqa: PLC0415  (required only for colormaps that are not built in)
    except ImportError:
        raise UsageError(
            unknown,
            hint=f"Choose {', '.join(BUILT_IN)}, or install matplotlib's colormaps: pip install 'camserve[plot]'",
        ) from None
    if name not in matplotlib.colormaps:
        raise UsageError(unknown, hint=f"Choose {', '.join(BUILT_IN)}, or another colormap of matplotlib")
    table: Array = matplotlib.colormaps[name](np.linspace(0.0, 1.0, 256), bytes=True)[:, :3]
    return table


def _jet() -> Array:
    positions = np.linspace(0.0, 1.0, 256)
    channels = [np.interp(positions, *breakpoints) for breakpoints in _JET]
    return (np.stack(channels, axis=-1) * 255).astype(np.uint8)  # truncated, as in matplotlib


def _viridis() -> Array:
    colors: Array = np.frombuffer(bytes.fromhex(_VIRIDIS), np.uint8).reshape(-1, 3)
    positions = np.linspace(0.0, len(colors) - 1.0, 256)
    channels = [np.interp(positions, np.arange(len(colors)), channel) for channel in colors.T]
    table: Array = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return table


def _gray() -> Array:
    return np.stack([np.arange(256, dtype=np.uint8)] * 3, axis=-1)


def _read_only(table: Array) -> Array:
    table.setflags(write=False)
    return table


BUILT_IN = {
    "viridis": _read_only(_viridis()),
    "jet": _read_only(_jet()),
    "gray": _read_only(_gray()),
}
"""The colormaps that do not require matplotlib."""
