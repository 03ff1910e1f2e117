"""Plots of tables, all in one style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Line", "draw"]


@dataclass(frozen=True)
class Line:
    """A line of a plot: its name in the legend, and its points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def draw(path: Path, lines: Sequence[Line], x: str, *panels: tuple[str, Sequence[str]], doubling: bool = False) -> None:
    """Draw lines into a PNG file, with the measured values as ticks of the horizontal axis.

    Args:
        path: The file.
        lines: The lines.
        x: Title of the horizontal axis.
        panels: For each panel from left to right, the title of its vertical axis and the names of its lines.
        doubling: Whether the horizontal axis is logarithmic.
    """
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(panels), figsize=(5.2 * len(panels), 3.4), squeeze=False, layout="constrained")
    for axis, (title, names) in zip(axes[0], panels, strict=True):
        shown = [line for line in lines if line.name in names]
        for line in shown:
            axis.plot(line.x, line.y, marker="o", markersize=4, linewidth=1.6, label=line.name)
        if doubling:
            axis.set_xscale("log", base=2)
        ticks = sorted({value for line in shown for value in line.x})
        axis.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
        axis.minorticks_off()
        axis.set(xlabel=x, ylabel=title)
        axis.set_ylim(0, 1.08 * max(value for line in shown for value in line.y))
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
        if len(shown) > 1:
            axis.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=90)
    plt.close(figure)
