"""Write the files of an export, measure them by the gate, and repair int8 if the gate refuses it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from camserve.export.frameworks import onnx

from camserve.export.classifier import LoadedClassifier
from camserve.export.formats.onnx_settings import OPENVINO, lower_format
from camserve.export.formats.runner import Runner
from camserve.export.formats.writing import WrittenGraph, open_format, write_saved_model
from camserve.export.gate.gate import Gate
from camserve.export.gate.metric import Metric, require_parity
from camserve.export.int8.cost import measure_cost
from camserve.export.int8.probe import Probe
from camserve.export.int8.repair import can_be_repaired, repair
from camserve.export.int8.result import Int8Result
from camserve.export.onnx_file import OnnxFile
from camserve.progress import Progress

__all__ = ["MeasuredFiles", "write_files"]

_ADVICE = {
    "bf16": "Choose --precision fp32, or int8 with calibration images: bf16, which keeps 8 bits of each value, is too "
    "coarse for the network"
}
"""What to do about a precision that is too coarse, where `hints` has no better advice."""


@dataclass(frozen=True)
class MeasuredFiles:
    """The written files, which have passed the gate.

    Attributes:
        runners: Runs the file of each format; of bf16, the ONNX file as `onnx` in float32 and as `openvino` in bf16.
        gate: The gate.
        metrics: What it measured.
        graph: The written ONNX graph; None without that format.
        int8: Which layers int8 quantizes, and why; None in another precision.
    """

    runners: dict[str, Runner]
    gate: Gate
    metrics: list[Metric]
    graph: WrittenGraph | None
    int8: Int8Result | None

    @property
    def served(self) -> Runner:
        """Runs the file that Triton serves, in the precision of the export: ONNX if it was written."""
        name = next(name for name in (OPENVINO, "onnx", "savedmodel") if name in self.runners)
        return self.runners[name]


def write_files(folder: Path, classifier: LoadedClassifier, progress: Progress) -> MeasuredFiles:
    """Write the requested formats, and measure them.

    Args:
        folder: The bundle's folder.
        classifier: The classifier.
        progress: Called with the name of each phase as it begins.

    Raises:
        UsageError: If `int8_layers` names a layer that int8 does not quantize.
        ConversionError: If a format cannot be written.
        ParityError: If a file differs from Keras.
    """
    options, file, graph = classifier.options, None, None
    if "onnx" in options.formats:
        progress(f"write onnx, {options.onnx.label}")
        file = OnnxFile(folder, classifier)
        graph = file.write(file.graph)
    if "savedmodel" in options.formats:
        progress("write savedmodel")
        write_saved_model(folder, classifier.prepared.served)
    progress("run Keras, measure parity")
    formats = dict.fromkeys((*options.formats, *filter(None, [lower_format(options.onnx.precision)])))
    runners = {name: open_format(folder, name) for name in formats}
    gate = Gate(classifier.prepared, classifier.contract, classifier.images, options.tolerances)
    metrics = gate.measure(runners, options.onnx.precision, file.largest_half if file else None)
    files = MeasuredFiles(runners, gate, metrics, graph, None)
    if file is not None and options.onnx.precision == "int8":
        files = _with_int8_layers(files, file, classifier, progress)
    require_parity(
        files.metrics,
        gate.truth.obstacle,
        tried=files.int8.failure if files.int8 else None,
        advice=files.int8.advice if files.int8 else _ADVICE.get(options.onnx.precision),
    )
    return files


def _with_int8_layers(
    files: MeasuredFiles, file: OnnxFile, classifier: LoadedClassifier, progress: Progress
) -> MeasuredFiles:
    """Return the files, with int8 repaired if the gate refuses it, it can be repaired, and the user allows it."""
    choice, calibration = classifier.options.int8_layers, classifier.calibration
    result = Int8Result(choice, len(file.int8.layers), file.float_layers)
    if calibration is None or not (choice.repaired and can_be_repaired(files.metrics)):
        return replace(files, int8=result)
    written = []

    def measure(graph: onnx.ModelProto) -> list[Metric]:
        written.append(file.write(graph))
        return files.gate.measure_lower_precision("onnx", file.open())

    found = repair(
        file.int8,
        [metric for metric in files.metrics if metric.format == "onnx"],
        lambda: Probe(classifier.prepared, classifier.contract, calibration.fit, classifier.options.tolerances),
        measure,
        progress,
    )
    result = replace(result, float_layers=found.last.float_layers, repair=found)
    if found.failure is None:
        progress("measure the speed with and without layers in float32")
        result = replace(result, cost=measure_cost(file.int8, result.float_layers, files.gate.batches[-1].inputs))
    others = [metric for metric in files.metrics if metric.format != "onnx"]
    return replace(
        files,
        runners={**files.runners, "onnx": file.open()},
        metrics=[*others, *found.last.metrics],
        graph=written[-1],
        int8=result,
    )
