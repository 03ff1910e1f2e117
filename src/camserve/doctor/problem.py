"""What is missing or broken, and how to provide or repair it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Problem"]


@dataclass(frozen=True)
class Problem:
    """What is missing or broken.

    Attributes:
        what: The problem, as a clause.
        remedy: What to do, as a sentence that begins with a verb and contains the command; None if nothing helps.
    """

    what: str
    remedy: str | None = None
