"""How sensitive each layer is to int8: what its quantization alone changes in the answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from camserve.export.int8.network import Int8Network
from camserve.export.int8.probe import Effect, Probe
from camserve.export.int8.session import open_variant
from camserve.progress import Progress
from camserve.text import count

__all__ = ["LayerEffect", "measure_effects"]

_LAYERS_BETWEEN_LINES = 10


@dataclass(frozen=True)
class LayerEffect:
    """What the quantization of one layer alone changes, all others in float32.

    Attributes:
        layer: The Keras layer.
        effect: How far the answers are from Keras's.
    """

    layer: str
    effect: Effect

    @property
    def squared_error(self) -> float:
        """Return the sum of the squared relative errors of logits and maps; infinity if one is not finite.

        Errors of different layers are independent, so that their squares add up; 1 - cosine is half the square of a
        small relative error.
        """
        error = self.effect.logits**2 + 2 * (self.effect.maps or 0.0)
        return error if math.isfinite(error) else math.inf

    def as_document(self) -> dict[str, Any]:
        """Return the effect as it is stored in `report.json`; values that JSON cannot represent are None."""
        logits, maps = self.effect.logits, self.effect.maps
        return {
            "layer": self.layer,
            "logits": logits if math.isfinite(logits) else None,
            "maps": maps if maps is not None and math.isfinite(maps) else None,
        }


def measure_effects(network: Int8Network, probe: Probe, progress: Progress) -> tuple[LayerEffect, ...]:
    """Quantize each layer alone and measure the answers.

    Args:
        network: The network.
        probe: The images, with Keras's answers.
        progress: Called with the number of measured layers from time to time.

    Returns:
        The effect of each layer, the most harmful first.
    """
    total = count(len(network.layers), "layer")
    effects = []
    for number, layer in enumerate(network.layers):
        if number % _LAYERS_BETWEEN_LINES == 0:
            progress(f"measure the effect of int8 on each of {total} ({number} done)")
        effects.append(LayerEffect(layer, probe.effect(open_variant(network.with_one_quantized(layer)))))
    return tuple(sorted(effects, key=lambda each: -each.squared_error))
