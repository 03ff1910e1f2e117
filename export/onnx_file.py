"""The ONNX file of an export: converted once, then written in the requested precision."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

from camserve.export.frameworks import onnx

from camserve.contract import CONTRACT_PARAMETER
from camserve.export.classifier import LoadedClassifier
from camserve.export.formats.half import largest_activation, to_half_precision
from camserve.export.formats.runner import Runner
from camserve.export.formats.writing import WrittenGraph, convert, open_format, write_onnx
from camserve.export.int8.network import Int8Network
from camserve.export.provenance import PROVENANCE
from camserve.pixels import graph_input

__all__ = ["OnnxFile"]

_PROBES = 16  # images on which activations are measured for fp16; each takes a few inferences


class OnnxFile:
    """The ONNX file of a classifier.

    Args:
        folder: The bundle's folder.
        classifier: The classifier.

    Raises:
        ConversionError: If the graph cannot be converted.
    """

    def __init__(self, folder: Path, classifier: LoadedClassifier) -> None:
        self._folder = folder
        self._classifier = classifier
        self._settings = classifier.options.onnx
        self._converted = convert(classifier.prepared.served, self._settings.opset)

    @cached_property
    def int8(self) -> Int8Network:
        """The network whose layers can be quantized.

        Raises:
            ConversionError: If it has none.
        """
        calibration = self._classifier.calibration
        if calibration is None:
            raise ValueError("int8 requires calibration images")  # check_options refuses it
        images = graph_input(calibration.fit, self._classifier.contract.preprocessing)
        return Int8Network(self._converted.model, self._converted.stay_float, images, self._settings.target)

    @cached_property
    def largest_half(self) -> float | None:
        """The largest magnitude, in float32, of an activation in half precision; None without fp16."""
        if self._settings.precision != "fp16":
            return None
        pixels = self._classifier.images.pixels[:_PROBES]
        images = graph_input(pixels, self._classifier.contract.preprocessing)
        return largest_activation(self._converted.model, self._converted.stay_float, images)

    @cached_property
    def float_layers(self) -> tuple[str, ...]:
        """The layers that the user keeps in float32.

        Raises:
            UsageError: If `int8_layers` names a layer that int8 does not quantize.
        """
        return self._classifier.options.int8_layers.float_layers(self.int8.layers)

    @property
    def graph(self) -> onnx.ModelProto:
        """The graph in the requested precision.

        Raises:
            ConversionError: If it cannot be converted to that precision.
        """
        if self._settings.precision == "fp16":
            return to_half_precision(self._converted.model, self._converted.stay_float)
        if self._settings.precision == "int8":
            return self.int8.quantized(self.float_layers)
        return self._converted.model

    def write(self, graph: onnx.ModelProto) -> WrittenGraph:
        """Write a graph, with the contract and the provenance."""
        metadata = {
            CONTRACT_PARAMETER: self._classifier.contract.to_json(),
            PROVENANCE: json.dumps(self._classifier.provenance),
        }
        return write_onnx(self._folder, graph, metadata)

    def open(self) -> Runner:
        """Load the written file as a server does."""
        return open_format(self._folder, "onnx")
