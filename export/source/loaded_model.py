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
    """A model that was loaded from a file.

    Attributes:
        model: The model in Keras 3.
        predict: Runs the model in inference mode in the library that saved it, if that is not Keras 3; None otherwise.
        warnings: Sentences for the report, without full stops.
    """

    model: keras.Model
    predict: Predict | None = None
    warnings: tuple[str, ...] = ()
