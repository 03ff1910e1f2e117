"""Repair an int8 export that the gate refused: keep the fewest layers in float32 with which it passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from camserve.export.frameworks import onnx

from camserve.export.gate.metric import Metric
from camserve.export.int8.network import Int8Network
from camserve.export.int8.probe import Probe
from camserve.export.int8.search import Search, most_float_layers
from camserve.export.int8.sensitivity import LayerEffect, measure_effects
from camserve.progress import Progress
from camserve.text import count

__all__ = ["Attempt", "Repair", "can_be_repaired", "repair"]

_ROUNDS = 3
_OF_ROUNDING = frozenset({"top1_disagreement", "cam_distance", "lower_logits", "lower_probabilities"})
"""The options of the metrics that depend on how finely the network is quantized."""

Measure = Callable[[onnx.ModelProto], Sequence[Metric]]
"""Writes a graph, and measures the file by the gate's tolerances for int8."""


@dataclass(frozen=True)
class Attempt:
    """An int8 file that the gate measured.

    Attributes:
        float_layers: The layers in float32, the most harmful first.
        metrics: The metrics of the file.
    """

    float_layers: tuple[str, ...]
    metrics: tuple[Metric, ...]

    @property
    def failed(self) -> list[Metric]:
        """Return the metrics that exceed their tolerances."""
        return [metric for metric in self.metrics if not metric.passed]

    def __str__(self) -> str:
        """Return the metrics that exceed their tolerances: `top1_disagreement 0.12 > 0.01`."""
        return ", ".join(f"{each.name} {each.value:.3g} > {each.tolerance or 0.0:.3g}" for each in self.failed)

    def as_document(self) -> dict[str, Any]:
        """Return the attempt as it is stored in `report.json`."""
        return {
            "float_layers": list(self.float_layers),
            "parity": [metric.as_document() for metric in self.metrics],
        }


@dataclass(frozen=True)
class Repair:
    """What was tried to repair an int8 export.

    Attributes:
        layers: Number of layers that int8 can quantize.
        attempts: The files that the gate measured, first the one with all layers in int8.
        effects: The effect of each layer, the most harmful first; empty if they were not measured.
        obstacle: Why nothing further was tried; None if the last attempt passed.
    """

    layers: int
    attempts: tuple[Attempt, ...]
    effects: tuple[LayerEffect, ...] = ()
    obstacle: str | None = None

    @property
    def last(self) -> Attempt:
        """Return the attempt whose file was written last."""
        return self.attempts[-1]

    @property
    def failure(self) -> str:
        """Return what was tried in vain, for the message of a refused export."""
        plain, *others = self.attempts
        tried = "; ".join(f"{len(each.float_layers)} ({each})" for each in others)
        with_layers = f" Refused with so many of {count(self.layers, 'layer')} in float32: {tried}." if others else ""
        return f"with all layers in int8: {plain}.{with_layers} {self.obstacle}"


def can_be_repaired(metrics: Sequence[Metric]) -> bool:
    """Return whether all metrics that failed are of the ONNX file, and one of them depends on the rounding of int8."""
    failed = [metric for metric in metrics if not metric.passed]
    return all(metric.format == "onnx" for metric in failed) and any(metric.option in _OF_ROUNDING for metric in failed)


def repair(
    network: Int8Network,
    plain: Sequence[Metric],
    probe: Callable[[], Probe],
    measure: Measure,
    progress: Progress,
) -> Repair:
    """Keep the layers in float32 that 8 bits are too few for, and measure again, until the gate accepts the file.

    The layers are chosen on images that calibrated int8; the gate, which decides, measures on the held-out ones. If it
    refuses the choice, twice as many layers stay float32.

    Args:
        network: The network.
        plain: The metrics of the file with all layers in int8.
        probe: Returns the images to choose on, with Keras's answers.
        measure: Writes a graph, and measures the file by the gate's tolerances for int8.
        progress: Called with the name of each phase as it begins.
    """
    attempts = [Attempt((), tuple(plain))]
    total = len(network.layers)
    progress(f"int8 was refused ({attempts[0]}): measure the graph in float32")
    float32 = Attempt((), tuple(measure(network.float32)))
    if float32.failed:
        obstacle = f"No choice of layers can pass: the graph in float32 exceeds the tolerances as well ({float32})"
        return Repair(total, tuple(attempts), obstacle=obstacle)
    images = probe()
    effects = measure_effects(network, images, progress)
    search = Search(network, effects, images, progress)
    for float_layers in _choices(search):
        progress(f"write onnx, int8 with {len(float_layers)} of {count(total, 'layer')} in float32, measure parity")
        attempts.append(Attempt(float_layers, tuple(measure(network.quantized(float_layers)))))
        if not attempts[-1].failed:
            return Repair(total, tuple(attempts), effects)
    obstacle = f"At most {most_float_layers(total)} of {count(total, 'layer')} may stay float32"
    return Repair(total, tuple(attempts), effects, obstacle)


def _choices(search: Search) -> Iterator[tuple[str, ...]]:
    """Yield the layers that stay float32 in each round."""
    chosen = search.fewest()
    if chosen == ():  # enough on the images that calibrated int8, but not on others
        chosen = search.more(chosen)
    for _ in range(_ROUNDS):
        if chosen is None:
            return
        yield chosen
        chosen = search.more(chosen)
