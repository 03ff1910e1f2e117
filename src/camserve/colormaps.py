"""Colours for values from 0 to 1: jet, viridis and gray, any other that matplotlib has, or a table of the caller's."""

from __future__ import annotations

from typing import Any

import numpy as np

from camserve.errors import UsageError

__all__ = ["BUILT_IN", "Colormap", "color_table", "colorize"]

Array = np.ndarray[Any, Any]

Colormap = str | Array
"""A name, or a table of 256 colours, uint8 `[256, 3]` in RGB, the first for 0 and the last for 1."""

# Knots (position, value) of matplotlib's jet, one line per channel.
_JET = (
    ((0.0, 0.35, 0.66, 0.89, 1.0), (0.0, 0.0, 1.0, 1.0, 0.5)),
    ((0.0, 0.125, 0.375, 0.64, 0.91, 1.0), (0.0, 0.0, 1.0, 1.0, 0.0, 0.0)),
    ((0.0, 0.11, 0.34, 0.65, 1.0), (0.5, 1.0, 1.0, 0.0, 0.0)),
)

# Evenly spaced colours, fitted to matplotlib's viridis so that what lies between them is off by at most 1 of 255.
_VIRIDIS = (
    "440154470f62481c6e482878463480423f863e4a893a558c355e8d31688e2d718e297a8e26838e228c8d"
    "1f958c1e9d8921a68528af8035b77945bf7057c7666cce5983d44c9bd93cb4dd2ccde11ce6e417fde724"
)


def color_table(colormap: Colormap) -> Array:
    """The 256 colours of a colormap, uint8 `[256, 3]` in RGB.

    Raises:
        UsageError: If no colormap has that name, or the table is not one.
    """
    if not isinstance(colormap, str):
        return _check_table(np.asarray(colormap))
    table = BUILT_IN.get(colormap)
    return _of_matplotlib(colormap) if table is None else table


def colorize(values: Array, colormap: Colormap = "jet") -> Array:
    """Colours values from 0 to 1 as matplotlib does: uint8 RGB, one more axis than `values`; others are cut off."""
    table = color_table(colormap)
    indices = (np.asarray(values) * len(table)).astype(np.intp)
    colored: Array = table[indices.clip(0, len(table) - 1)]
    return colored


def _check_table(table: Array) -> Array:
    if table.shape != (256, 3) or table.dtype != np.uint8:
        raise UsageError(
            f"a table of {table.dtype} {list(table.shape)} is no colormap",
            hint="Give 256 colours: uint8 of shape [256, 3], in RGB",
        )
    return table


def _of_matplotlib(name: str) -> Array:
    unknown = f"there is no colormap {name!r}"
    try:
        import matplotlib  # noqa: PLC0415  (only its own colormaps need it)
    except ImportError:
        raise UsageError(
            unknown,
            hint=f"Choose {', '.join(BUILT_IN)}; with pip install 'camserve[plot]' all of matplotlib's are known",
        ) from None
    if name not in matplotlib.colormaps:
        raise UsageError(unknown, hint=f"Choose {', '.join(BUILT_IN)}, or another of matplotlib's colormaps")
    table: Array = matplotlib.colormaps[name](np.linspace(0.0, 1.0, 256), bytes=True)[:, :3]
    return table


def _jet() -> Array:
    positions = np.linspace(0.0, 1.0, 256)
    channels = [np.interp(positions, *knots) for knots in _JET]
    return (np.stack(channels, axis=-1) * 255).astype(np.uint8)  # cut off, as matplotlib does


def _viridis() -> Array:
    knots: Array = np.frombuffer(bytes.fromhex(_VIRIDIS), np.uint8).reshape(-1, 3)
    positions = np.linspace(0.0, len(knots) - 1.0, 256)
    channels = [np.interp(positions, np.arange(len(knots)), channel) for channel in knots.T]
    table: Array = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return table


def _gray() -> Array:
    return np.stack([np.arange(256, dtype=np.uint8)] * 3, axis=-1)


def _read_only(table: Array) -> Array:
    table.setflags(write=False)
    return table


BUILT_IN = {"jet": _read_only(_jet()), "viridis": _read_only(_viridis()), "gray": _read_only(_gray())}
"""The colormaps that need no matplotlib."""
