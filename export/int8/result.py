"""Which layers an int8 file keeps in float32, why, and what that costs: for the report, notes and messages."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from camserve.export.int8.choice import LayerChoice
from camserve.export.int8.cost import Cost
from camserve.export.int8.repair import Repair
from camserve.text import count, listed

__all__ = ["Int8Result"]

_REPAIRABLE = (
    "Keep the layers in float32 that 8 bits are too few for: --int8-layers auto finds them; or choose fp32 or fp16"
)
_INDISTINCT = (
    "Calibrate with images of the kind that will be served, which the network tells apart: --calibration DIR; or "
    "choose fp32, which has tolerances of its own"
)


@dataclass(frozen=True)
class Int8Result:
    """Which layers an int8 file quantizes.

    Attributes:
        choice: The choice of the user.
        layers: Number of layers that int8 can quantize.
        float_layers: The layers that stay float32.
        repair: How they were found; None if the user chose them, or no layer had to stay float32.
        cost: What they cost; None if that was not measured.
    """

    choice: LayerChoice
    layers: int
    float_layers: tuple[str, ...]
    repair: Repair | None = None
    cost: Cost | None = None

    @property
    def failure(self) -> str | None:
        """Return what was tried in vain, for the message of a refused export; None if nothing was."""
        return None if self.repair is None else self.repair.failure

    @property
    def advice(self) -> str | None:
        """Return what to do if the gate refuses the export; None for the general advice."""
        if not self.choice.repaired:
            return _REPAIRABLE
        return _INDISTINCT if self.repair is not None and self.repair.float32 is not None else None

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what the user should know: that layers stay float32, why, and what that costs."""
        if not self.float_layers:
            return ()
        layers = f"{len(self.float_layers)} of {count(self.layers, 'layer')}"
        if self.repair is None:
            names = listed(self.float_layers)
            requested = shlex.quote(str(self.choice))
            return (f"int8 with {layers} in float32, as requested by --int8-layers {requested}: {names}",)
        return (
            f"int8 was repaired: {layers} in float32, because all layers in int8 exceed the tolerances "
            f"({self.repair.attempts[0]}){self._cost}; the same layers without a search: --int8-layers "
            f"{shlex.quote(self.option)}",
        )

    @property
    def option(self) -> str:
        """Return the value of `--int8-layers` that chooses these layers; a comma in a name becomes a wildcard."""
        return str(LayerChoice(repaired=False, excluded=tuple(name.replace(",", "?") for name in self.float_layers)))

    @property
    def _cost(self) -> str:
        cost = self.cost
        if cost is None:
            return ""
        size = f"{cost.bytes / max(cost.plain_bytes, 1):.2f} times the size"
        if cost.speed is None:
            return f"; {size} of all layers in int8"
        speed = f"{cost.speed:g} times the speed and {size} of all layers in int8"
        advice = ", so that --precision fp32 is faster here" if (cost.float32_speed or 1) < 1 else ""
        return f"; {speed}, {cost.float32_speed:g} times the speed of float32{advice}"

    def as_document(self) -> dict[str, Any]:
        """Return the result as it is stored in `report.json`.

        Returns:
            `choice`, the option as it was given; `layers`, how many int8 can quantize; `float32`, the names of those
            that it does not; `option`, which would choose these. Of a repair, else empty or None: `attempts`, what the
            gate measured with which layers in float32; `effects`, what each layer alone in int8 changes, the most
            harmful first: `logits` by the root mean square, relative to Keras's, `maps` by the mean of 1 - cosine;
            `cost`.
        """
        return {
            "choice": str(self.choice),
            "layers": self.layers,
            "float32": list(self.float_layers),
            "option": self.option,
            "attempts": [attempt.as_document() for attempt in self.repair.attempts] if self.repair else [],
            "effects": [effect.as_document() for effect in self.repair.effects] if self.repair else [],
            "cost": None if self.cost is None else self.cost.as_document(),
        }
