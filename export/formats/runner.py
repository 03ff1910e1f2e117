"""The type of a loaded export: a function from images to outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt

__all__ = ["Runner"]

Runner = Callable[[npt.NDArray[Any]], Mapping[str, npt.NDArray[Any]]]
"""From a batch of images, in the dtype and shape of the file's input, to its outputs by name."""
