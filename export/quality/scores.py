"""The score of a class that an exported file gives to images."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.contract import ModelContract
from camserve.errors import ExportError
from camserve.export.formats.runner import Runner
from camserve.export.quality.curves import Score
from camserve.pixels import graph_input
from camserve.tensors import LOGITS, PROBABILITIES

__all__ = ["score_of_class"]


def score_of_class(run: Runner, contract: ModelContract, class_number: int) -> Score:
    """Return the function from images to the probability of a class.

    For a model that returns logits only, softmax makes probabilities of them, or sigmoid of a single one.

    Args:
        run: Runs the file.
        contract: Its contract.
        class_number: The class.

    Raises:
        ExportError: By the function, if a probability is not finite.
    """

    def score(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        outputs = run(graph_input(pixels, contract.preprocessing))
        linear = contract.activation == "linear"
        found = np.asarray(outputs[LOGITS if linear else PROBABILITIES], np.float64)
        if not np.isfinite(found).all():
            raise ExportError(
                "the maps cannot be measured: the exported file returns values that are not finite for an image with "
                "blurred pixels",
                hint="Leave out --map-quality and --boxes, or choose another --precision",
            )
        return (_probabilities(found) if linear else found)[:, class_number]

    return score


def _probabilities(logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if logits.shape[1] == 1:
        logits = np.concatenate([logits, np.zeros_like(logits)], axis=1)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
