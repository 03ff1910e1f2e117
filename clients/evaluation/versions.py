"""The versions that answered the rows of a table."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AnsweringVersion"]


@dataclass(frozen=True)
class AnsweringVersion:
    """A version of a model that answered rows of a table.

    Attributes:
        model: Name of the model; empty if the table does not contain it.
        version: Its version; empty if the table does not contain it.
        rows: Number of rows.
    """

    model: str
    version: str
    rows: int
