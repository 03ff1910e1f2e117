"""Number of rounds of chaos tests: a tenth by default, all with CAMSERVE_CHAOS=full in the environment."""

from __future__ import annotations

import os

__all__ = ["times"]


def times(full: int) -> int:
    """Return the number of rounds: `full` with CAMSERVE_CHAOS=full in the environment, otherwise a tenth of it."""
    return full if os.environ.get("CAMSERVE_CHAOS") == "full" else max(1, full // 10)
