"""Writing and loading of the exported formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from camserve.export.frameworks import onnx

from camserve.bundle import ONNX_NAME, SAVED_MODEL_NAME
from camserve.export.formats import onnx_format, openvino_format, saved_model_format
from camserve.export.formats.onnx_settings import OPENVINO
from camserve.export.formats.runner import Runner
from camserve.export.graph.served import MAPS, PIXELS, ServedGraph

__all__ = ["ConvertedGraph", "WrittenGraph", "convert", "open_format", "write_onnx", "write_saved_model"]


@dataclass(frozen=True)
class ConvertedGraph:
    """The served graph as ONNX, in float32.

    Attributes:
        model: The graph.
        stay_float: Names of the nodes that stay float32 in every precision: the head, the maps and the preprocessing.
    """

    model: onnx.ModelProto
    stay_float: frozenset[str]


@dataclass(frozen=True)
class WrittenGraph:
    """Properties of a written ONNX file.

    Attributes:
        operators: Number of nodes by operator, most frequent first.
        ir_version: Version of the file format.
    """

    operators: dict[str, int]
    ir_version: int


def convert(served: ServedGraph, opset: int) -> ConvertedGraph:
    """Convert the served graph to ONNX.

    Args:
        served: The graph.
        opset: The ONNX operator set.

    Raises:
        ConversionError: If tf2onnx fails, or leaves operators in the graph that ONNX does not define.
    """
    model = onnx_format.convert(served, opset)
    float32 = served.head | {MAPS, PIXELS}
    stay_float = frozenset(node.name for node in model.graph.node if node.name.partition("/")[0] in float32)
    return ConvertedGraph(model, stay_float)


def write_onnx(folder: Path, model: onnx.ModelProto, metadata: Mapping[str, str]) -> WrittenGraph:
    """Write `model.onnx`.

    Args:
        folder: The bundle's folder.
        model: The graph, in its final precision.
        metadata: Metadata properties of the file.

    Raises:
        ConversionError: If the graph is not valid ONNX.
    """
    onnx_format.write_onnx(model, folder / ONNX_NAME, metadata)
    return WrittenGraph(onnx_format.count_operators(model), model.ir_version)


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
        format_name: `onnx`, `openvino` (the ONNX file, in bf16) or `savedmodel`.

    Raises:
        ConversionError: If it cannot be loaded.
    """
    if format_name == OPENVINO:
        return openvino_format.open_bf16(folder / ONNX_NAME)
    if format_name == "savedmodel":
        return saved_model_format.open_saved_model(folder / SAVED_MODEL_NAME)
    return onnx_format.open_onnx(folder / ONNX_NAME)
