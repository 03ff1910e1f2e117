"""How far the mean of all images may be from that of the measured ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["mean_interval"]

_T = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060),
    *(2.2622, 2.2281, 2.2010, 2.1788, 2.1604, 2.1448, 2.1314),
)
"""The two-sided 95 % quantile of Student's t distribution with 1 to 15 degrees of freedom."""


def mean_interval(values: npt.NDArray[Any]) -> tuple[float, float] | None:
    """Return the 95 % interval of a mean of which a sample of at most 16 is known; None for a single value.

    Args:
        values: `[count]`.

    Source: Student 1908, "The probable error of a mean".
    """
    if len(values) < 2:
        return None
    half = _T[len(values) - 2] * float(np.std(values, ddof=1)) / len(values) ** 0.5
    mean = float(np.mean(values))
    return mean - half, mean + half
