"""The class activation maps of a contract."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import field_validator

from camserve.contract.fields import Flag, PositiveInteger, Record, invalid
from camserve.text import excerpt

__all__ = ["CamContract"]


class CamContract(Record):
    """The class activation maps of a model.

    Attributes:
        kind: How the last features are pooled before the linear layer: over the whole grid (`global-average`), in
            windows (`average`), or not pooled (`flatten`).
        grid: Height and width of a map, in cells.
        top_k: Number of maps in the output `cam`, best class first.
        all_classes: Whether the output `cam_all` contains the map of every class.
    """

    implied: ClassVar[tuple[str, ...]] = ("all_classes",)

    kind: Literal["global-average", "average", "flatten"]
    grid: tuple[PositiveInteger, PositiveInteger]
    top_k: PositiveInteger
    all_classes: Flag = False

    @field_validator("grid", mode="before")
    @classmethod
    def _has_two_sides(cls, grid: Any) -> Any:
        if not isinstance(grid, list | tuple) or len(grid) != 2:
            raise invalid(f"must be the height and width of a map, got {excerpt(grid)}")
        return grid
