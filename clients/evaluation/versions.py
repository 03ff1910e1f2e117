"""The versions that answered the rows of a table."""

from __future__ import annotations

from dataclasses import dataclass

from camserve.text import printable

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

    @property
    def name(self) -> str:
        """What messages call it: `version 3 of resnet50`."""
        version = f"version {printable(self.version) or '(not reported)'}"
        return f"{version} of {printable(self.model)}" if self.model else version
