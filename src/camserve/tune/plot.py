"""A plot of a tuning result: throughput against p99 latency, one line for each candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from camserve.errors import UsageError
from camserve.extras import install_command
from camserve.serving.config.named_options import format_value
from camserve.text import count
from camserve.tune.result import TunedCandidate, TuneResult

__all__ = ["candidate_names", "plot"]

_WINNER, _LIMIT, _DROPPED = "tab:red", "black", "0.75"
_COLORS = (
    *("tab:blue", "tab:green", "tab:purple", "tab:brown", "tab:pink"),
    *("tab:olive", "tab:cyan", "tab:orange", "navy", "teal"),
)
"""Of the candidates beside the winner; further ones are drawn as one group."""


def plot(result: TuneResult, path: str | Path) -> None:
    """Draw throughput against the p99 latency of every measured point into a PNG file.

    The winner and the limit are marked, and dropped candidates are gray.

    Args:
        result: The result of tuning.
        path: The PNG file.

    Raises:
        UsageError: If matplotlib is missing, or nothing was measured.
    """
    if not any(candidate.points for candidate in result.candidates):
        raise UsageError("no candidate was measured, so that there is nothing to plot")
    figure = _figure_type()(figsize=(11.0, 5.0), layout="constrained")
    axis = figure.add_subplot()
    _draw_candidates(axis, result)
    _mark_winner_and_limit(axis, result)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(_ticker().LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(_ticker().FuncFormatter(lambda value, _: f"{value:g}"))
    axis.minorticks_off()
    axis.set(xlabel="p99 latency in ms", ylabel="images per second")
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    figure.savefig(path, dpi=110, format="png")


def candidate_names(candidates: Sequence[TunedCandidate]) -> list[str]:
    """Return a name for each candidate: backend, precision, and what else distinguishes it from the others."""
    bundles = {candidate.bundle for candidate in candidates}
    precisions = {candidate.precision for candidate in candidates}
    names = dict.fromkeys(name for candidate in candidates for name in candidate.options)
    differing = [name for name in names if _differs(name, [candidate.options for candidate in candidates])]
    return [
        " ".join(
            [
                candidate.backend,
                candidate.precision,
                *([Path(candidate.bundle).name] if len(bundles) > len(precisions) else []),
                *(f"{name}={format_value(candidate.options.get(name))}" for name in differing),
            ]
        )
        for candidate in candidates
    ]


def _differs(name: str, options: Sequence[Mapping[str, Any]]) -> bool:
    return len({format_value(each.get(name)) for each in options}) > 1


def _draw_candidates(axis: Any, result: TuneResult) -> None:
    names = candidate_names(result.candidates)
    kept = [each for each in zip(result.candidates, names, strict=True) if each[0].dropped is None]
    dropped = [each for each in result.candidates if each.dropped is not None and each.points]
    others = [each for each in kept if each[0] != result.winner]
    for candidate, name in kept:
        if candidate == result.winner:
            _draw_line(axis, candidate, label=name, color=_WINNER, linewidth=2.4, zorder=3)
    for number, (candidate, name) in enumerate(others):
        if number < len(_COLORS):
            _draw_line(axis, candidate, label=name, linewidth=1.4, zorder=2, color=_COLORS[number])
        else:
            label = f"further: {count(len(others) - number, 'candidate')}" if number == len(_COLORS) else None
            _draw_line(axis, candidate, label=label, linewidth=1.0, zorder=2, color="tab:blue", alpha=0.4)
    for number, candidate in enumerate(dropped):
        label = f"dropped: {count(len(dropped), 'candidate')}" if number == 0 else None
        _draw_line(axis, candidate, label=label, color=_DROPPED, linewidth=0.8, zorder=1)


def _draw_line(axis: Any, candidate: TunedCandidate, **style: Any) -> None:
    points = sorted(candidate.points, key=lambda point: point.concurrency)
    axis.plot(
        [point.p99_ms for point in points],
        [point.images_per_second for point in points],
        marker="o",
        markersize=3.5,
        **style,
    )


def _mark_winner_and_limit(axis: Any, result: TuneResult) -> None:
    if result.winner_point is not None:
        point = result.winner_point
        low, high = point.interval
        axis.vlines(point.p99_ms, low, high, color=_WINNER, linewidth=1.2, zorder=3)
        axis.plot(
            [point.p99_ms],
            [point.images_per_second],
            linestyle="none",
            marker="*",
            markersize=15,
            color=_WINNER,
            markeredgecolor="white",
            zorder=4,
            label=f"winner: {point.images_per_second:,.0f} images/s, p99 {point.p99_ms:.3g} ms,\n"
            f"{point.concurrency} in flight",
        )
    if result.p99_limit_ms is not None:
        label = f"limit: {result.p99_limit_ms:g} ms"
        axis.axvline(result.p99_limit_ms, color=_LIMIT, linestyle="--", linewidth=1.0, label=label)


def _figure_type() -> Any:
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  (only plots require it)
    except ImportError:
        raise UsageError(
            "a plot requires matplotlib, which is not installed", hint=f"Install it: {install_command('plot')}"
        ) from None
    return Figure


def _ticker() -> Any:
    from matplotlib import ticker  # noqa: PLC0415

    return ticker
