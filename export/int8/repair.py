"""Repair an int8 export that the gate refused: keep the cheapest layers in float32 with which it passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from camserve.export.frameworks import onnx

from camserve.export.gate.metric import Metric
from camserve.export.int8.network import Int8Network
from camserve.export.int8.probe import Probe, is_safe
from camserve.export.int8.search import Search, most_float_layers
from camserve.export.int8.sensitivity import LayerEffect, measure_effects
from camserve.export.int8.session import open_variant
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
        float_layers: The layers in float32, those first that save most error for their cost.
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
    """What was tried to repair an int8 file that the gate refused.

    Attributes:
        layers: Number of layers that int8 can quantize.
        attempts: The files that the gate measured, first the one with all layers in int8.
        effects: The effect of each layer, the most harmful first; empty if they were not measured.
        float32: The metrics by which the gate refuses the graph in float32 too, which no choice of layers can meet.
    """

    layers: int
    attempts: tuple[Attempt, ...]
    effects: tuple[LayerEffect, ...] = ()
    float32: Attempt | None = None

    @property
    def last(self) -> Attempt:
        """Return the file that was measured last."""
        return self.attempts[-1]

    @property
    def failure(self) -> str | None:
        """Return what was tried in vain, for the message of a refused export; None if the last file passed."""
        if not self.last.failed:
            return None
        if self.float32 is not None:
            return f"no layers in float32 can help, as the graph in float32 is refused as well ({self.float32})"
        total, most = count(self.layers, "layer"), most_float_layers(self.layers)
        if len(self.attempts) == 1:
            return f"{most} of {total} in float32, the most that may be, did not suffice for the calibration images"
        before = "; ".join(f"with {len(each.float_layers)}: {each}" for each in self.attempts[-2::-1])
        return f"this is with {len(self.last.float_layers)} of {total} in float32, of at most {most}; {before}"


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
    attempts, total = [Attempt((), tuple(plain))], len(network.layers)
    progress(f"int8 was refused ({attempts[0]}): measure the graph in float32")
    float32 = Attempt(network.layers, tuple(measure(network.float32)))
    if float32.failed:
        return Repair(total, tuple(attempts), float32=float32)
    progress("run Keras on calibration images")
    images = probe()
    effects = measure_effects(network, images, progress)
    for float_layers in _choices(network, images, effects, progress):
        progress(f"write onnx, int8 with {len(float_layers)} of {count(total, 'layer')} in float32, measure parity")
        attempts.append(Attempt(float_layers, tuple(measure(network.quantized(float_layers)))))
        if not attempts[-1].failed:
            break
    return Repair(total, tuple(attempts), effects)


def _choices(
    network: Int8Network, probe: Probe, effects: Sequence[LayerEffect], progress: Progress
) -> Iterator[tuple[str, ...]]:
    """Yield the layers that stay float32 in each round."""
    errors, costs = {each.layer: each.squared_error for each in effects}, network.expenses()
    found: dict[frozenset[str], tuple[Metric, ...]] = {}

    def measured(float_layers: Sequence[str]) -> tuple[Metric, ...]:
        key = frozenset(float_layers)
        if key not in found:
            progress(f"choice {len(found) + 1}: try int8 with {len(key)} of {count(len(errors), 'layer')} in float32")
            found[key] = probe.metrics(open_variant(network.quantized(float_layers)))
        return found[key]

    chosen = None
    for is_enough in (is_safe, _has_passed):
        search = Search(errors, costs, lambda float_layers: all(map(is_enough, measured(float_layers))))  # noqa: B023
        chosen = search.cheapest()
        if chosen is not None:
            break
    if chosen == ():  # all layers in int8 are good enough on these images, but not on those of the gate
        chosen = search.more(chosen)
    for _ in range(_ROUNDS):
        if chosen is None:
            return
        yield chosen
        chosen = search.more(chosen)


def _has_passed(metric: Metric) -> bool:
    return metric.passed
