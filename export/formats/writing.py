"""Writing and loading of the exported formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.bundle import ONNX_NAME, SAVED_MODEL_NAME
from camserve.export.formats import onnx_format, saved_model_format
from camserve.export.formats.half import largest_activation, to_half_precision
from camserve.export.formats.onnx_settings import OnnxSettings
from camserve.export.formats.quantize import quantize
from camserve.export.formats.runner import Runner
from camserve.export.graph.served import MAPS, PIXELS, ServedGraph

__all__ = ["WrittenGraph", "open_format", "write_onnx", "write_saved_model"]

_PROBES = 16  # images on which activations are measured for fp16; each takes a few inferences


@dataclass(frozen=True)
class WrittenGraph:
    """Properties of a written ONNX file.

    Attributes:
        operators: Number of nodes by operator, most frequent first.
        ir_version: Version of the file format.
        largest_half: The largest magnitude, in float32, of an activation in half precision; None without fp16.
    """

    operators: dict[str, int]
    ir_version: int
    largest_half: float | None = None


def write_onnx(
    folder: Path,
    served: ServedGraph,
    settings: OnnxSettings,
    metadata: Mapping[str, str],
    *,
    calibrated: npt.NDArray[Any] | None,
    measured: npt.NDArray[Any],
) -> WrittenGraph:
    """Convert the graph to ONNX in the requested precision and write `model.onnx`.

    Args:
        folder: The bundle's folder.
        served: The graph.
        settings: Operator set and precision.
        metadata: Metadata properties of the file.
        calibrated: Calibration images for int8, in the dtype and shape of the graph's input; None otherwise.
        measured: Other images in this form, on which the largest activation is measured for fp16.

    Raises:
        ConversionError: If the graph cannot be converted, or not to that precision.
    """
    model = onnx_format.convert(served, settings.opset)
    float32 = served.head | {MAPS, PIXELS}
    stay_float = frozenset(node.name for node in model.graph.node if node.name.partition("/")[0] in float32)
    largest = None
    if settings.precision == "fp16":
        largest = largest_activation(model, stay_float, measured[:_PROBES])
        model = to_half_precision(model, stay_float)
    elif settings.precision == "int8":
        model = quantize(model, np.asarray(calibrated), stay_float, settings.target)
    onnx_format.write_onnx(model, folder / ONNX_NAME, metadata)
    return WrittenGraph(onnx_format.count_operators(model), model.ir_version, largest)


def write_saved_model(folder: Path, served: ServedGraph) -> None:
    """Write `saved_model/`, in float32.

    Raises:
        ConversionError: If TensorFlow cannot save the graph.
    """
    saved_model_format.write_saved_model(served, folder / SAVED_MODEL_NAME)


def open_format(folder: Path, format_name: str) -> Runner:
    """Load a written file as a server does.

    Args:
        folder: The bundle's folder.
        format_name: `onnx` or `savedmodel`.

    Raises:
        ConversionError: If it cannot be loaded.
    """
    if format_name == "savedmodel":
        return saved_model_format.open_saved_model(folder / SAVED_MODEL_NAME)
    return onnx_format.open_onnx(folder / ONNX_NAME)
