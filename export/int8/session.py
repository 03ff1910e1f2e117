"""Load variants of an int8 network from memory, all with the same number of threads."""

from __future__ import annotations

from camserve.export.frameworks import onnx

from camserve.export.formats.onnx_format import open_model
from camserve.export.formats.runner import Runner

__all__ = ["open_variant"]

_THREADS = 2  # the same on every machine: how float32 sums are split, and so what is chosen, depends on it


def open_variant(model: onnx.ModelProto) -> Runner:
    """Load a graph in ONNX Runtime on the CPU, with two threads.

    Raises:
        ConversionError: As `open_onnx`.
    """
    return open_model(model, _THREADS)
