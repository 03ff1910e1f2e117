"""What an exported file is to those who measure it: a function from images to outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt

__all__ = ["Runner"]

Runner = Callable[[npt.NDArray[Any]], Mapping[str, npt.NDArray[Any]]]
"""Takes a batch of images as the file takes them, and gives its outputs by name."""
