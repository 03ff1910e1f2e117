"""Which layers an int8 file keeps in float32, why, and what that costs: for the report, notes and messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from camserve.export.int8.choice import LayerChoice
from camserve.export.int8.cost import Cost
from camserve.export.int8.repair import Repair
from camserve.text import count, listed

__all__ = ["Int8Result"]


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
        return None if self.repair is None or self.repair.obstacle is None else self.repair.failure

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what the user should know: that layers stay float32, why, and what that costs."""
        if not self.float_layers:
            return ()
        layers = f"{len(self.float_layers)} of {count(self.layers, 'layer')}"
        names = listed(self.float_layers)
        if self.repair is None:
            return (f"int8 with {layers} in float32, as requested by --int8-layers {self.choice}: {names}",)
        exact = LayerChoice(repaired=False, excluded=self.float_layers)
        return (
            f"int8 was repaired: {layers} in float32 ({names}), because all layers in int8 exceed the tolerances "
            f"({self.repair.attempts[0]}){self._cost}; the same layers without a search: --int8-layers {exact}",
        )

    @property
    def _cost(self) -> str:
        cost = self.cost
        if cost is None:
            return ""
        size = f"{cost.bytes / max(cost.plain_bytes, 1):.2f} times the size"
        if cost.speed is None:
            return f"; {size} of all layers in int8"
        speed = f"{cost.speed:g} times the speed and {size} of all layers in int8"
        return f"; {speed}, {cost.float32_speed:g} times the speed of float32"

    def as_document(self) -> dict[str, Any]:
        """Return the result as it is stored in `report.json`.

        Returns:
            `choice`, the option; `layers`, how many int8 can quantize; `float32`, the names of those that it does not;
            `attempts`, what the gate measured with which layers in float32; `effects`, what each layer alone in int8
            changes: of the logits, the relative root mean square, and of the maps, the mean of 1 - cosine, the most
            harmful first; `cost`. Those of a repair are empty or None without one.
        """
        return {
            "choice": str(self.choice),
            "layers": self.layers,
            "float32": list(self.float_layers),
            "attempts": [attempt.as_document() for attempt in self.repair.attempts] if self.repair else [],
            "effects": [effect.as_document() for effect in self.repair.effects] if self.repair else [],
            "cost": None if self.cost is None else self.cost.as_document(),
        }
