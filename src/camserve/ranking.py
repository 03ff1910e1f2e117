"""The order of classes: by score, and of equal scores the smaller class number first.

It is that of `TopK` in ONNX and of `tf.math.top_k`. The scores are logits wherever a model returns them: probabilities
are rounded to equal values (0 and 1) where logits still differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["best_classes", "rank_classes"]

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


def best_classes(scores: Array, count: int) -> npt.NDArray[np.intp]:
    """Return the first classes of `rank_classes`, in a quarter of the time for 5 of 1,000.

    Law: `best_classes(scores, count) == rank_classes(scores)[..., :count]`.

    Args:
        scores: `[..., classes]`.
        count: Number of classes, at least 1.

    Returns:
        `[..., count]`, or all classes if there are fewer.
    """
    classes = scores.shape[-1]
    if count < classes:
        least = np.partition(scores, classes - count, axis=-1)[..., classes - count, np.newaxis]
        chosen = scores >= least
        if (np.count_nonzero(chosen, axis=-1) == count).all():  # not with ties at the end, or NaN
            best = np.nonzero(chosen)[-1].reshape(*scores.shape[:-1], count)
            order = rank_classes(np.take_along_axis(scores, best, axis=-1))
            return np.take_along_axis(best, order, axis=-1)
    return rank_classes(scores)[..., :count]
