"""The order of classes: by score, and of equal scores the smaller class number first.

It is that of `TopK` in ONNX and of `tf.math.top_k`. The scores are logits wherever a model returns them: probabilities
are rounded to equal values (0 and 1) where logits still differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["rank_classes"]

Array = npt.NDArray[Any]


def rank_classes(*scores: Array) -> npt.NDArray[np.intp]:
    """Return the class numbers in descending order of scores; the result does not depend on the processor.

    Args:
        scores: `[..., classes]`; where these are equal, the next argument decides, and at last the smaller number.

    Returns:
        `[..., classes]`; NaN is sorted last.
    """
    order: npt.NDArray[np.intp] = np.lexsort([-each for each in reversed(scores)], axis=-1)
    return order
