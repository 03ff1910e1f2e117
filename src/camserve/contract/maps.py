"""The class activation maps of a contract."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import field_validator

from camserve.contract.fields import Flag, PositiveInteger, Record, invalid
from camserve.text import excerpt

__all__ = ["CamContract", "MapKind", "MapMethod", "version_for"]

MapKind = Literal["global-average", "average", "flatten", "gradient"]
"""The pooling before a linear head, or `gradient`."""

MapMethod = Literal["linear", "gradient"]
"""How maps are computed: with the weights of a linear head, or with the derivative of a head that is not linear."""


class CamContract(Record):
    """The class activation maps of a model.

    Attributes:
        kind: How the last features are pooled before the linear layer: over the whole grid (`global-average`), in
            windows (`average`), or not pooled (`flatten`). `gradient`, in version 2 of the contract, if the layers
            after the features are not linear.
        grid: Height and width of a map, in cells.
        top_k: Number of maps in the output `cam`, best class first.
        all_classes: Whether the output `cam_all` contains the map of every class.
    """

    implied: ClassVar[tuple[str, ...]] = ("all_classes",)

    kind: MapKind
    grid: tuple[PositiveInteger, PositiveInteger]
    top_k: PositiveInteger
    all_classes: Flag = False

    @property
    def method(self) -> MapMethod:
        """How the maps are computed: `linear` from the weights of a linear head, `gradient` from its derivative."""
        return "gradient" if self.kind == "gradient" else "linear"

    @field_validator("grid", mode="before")
    @classmethod
    def _has_two_sides(cls, grid: Any) -> Any:
        if not isinstance(grid, list | tuple) or len(grid) != 2:
            raise invalid(f"must be the height and width of a map, got {excerpt(grid)}")
        return grid


def version_for(cam: CamContract | None) -> Literal[1, 2]:
    """Return the version of a contract with these maps, so that a client that does not know them refuses it by name."""
    return 1 if cam is None or cam.method == "linear" else 2
