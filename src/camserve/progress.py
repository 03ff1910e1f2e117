"""How long work reports what it is doing."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress", "no_progress"]

Progress = Callable[[str], None]
"""Called with the name of each phase as it begins."""


def no_progress(phase: str) -> None:
    """Ignore the phase: the default where the caller gives no `Progress`."""
