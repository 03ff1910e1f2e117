"""How often a test of chance is repeated: a tenth in the daily run, all of it where that is asked for."""

from __future__ import annotations

import os

__all__ = ["times"]


def times(full: int) -> int:
    """The number of rounds: `full` with CAMSERVE_CHAOS=full in the environment, else a tenth of it."""
    return full if os.environ.get("CAMSERVE_CHAOS") == "full" else max(1, full // 10)
