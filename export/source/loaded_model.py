"""A model as it was loaded from a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from camserve.export.frameworks import keras

import numpy as np
import numpy.typing as npt

__all__ = ["LoadedModel", "Predict"]

Predict = Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]
"""Images float32 `[batch, height, width, channels]` to the model's output in inference mode, `[batch, classes]`."""


@dataclass(frozen=True)
class LoadedModel:
    """A model of Keras 3, and what it must answer.

    Attributes:
        model: The model.
        original: The answers of the model that the file was saved from, where another library than Keras 3 gives them;
            None where Keras 3 itself does.
    """

    model: keras.Model
    original: Predict | None = None
