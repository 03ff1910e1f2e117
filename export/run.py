"""Run an export: load, fold, convert, measure and write the bundle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from camserve.export.frameworks import keras

from camserve.bundle import CONTRACT_NAME, GOLDEN_IMAGES_NAME, GOLDEN_NAME, LABELS_NAME, Bundle, load_bundle
from camserve.export.classifier import LoadedClassifier, read_classifier
from camserve.export.files import MeasuredFiles, write_files
from camserve.export.formats.onnx_settings import OPENVINO
from camserve.export.gate.golden_answers import record_golden
from camserve.export.gate.metric import Metric
from camserve.export.options import ExportOptions
from camserve.export.quality.images import calibration_images
from camserve.export.quality.measure import measure_quality
from camserve.export.quality.results import MapQuality
from camserve.export.report.document import describe_files, make_report, write_report
from camserve.export.staging import staged_bundle
from camserve.golden import write_golden
from camserve.manifest import write_manifest
from camserve.progress import Progress

__all__ = ["run_export"]


def run_export(
    source: str | Path | keras.Model, destination: Path, options: ExportOptions, progress: Progress
) -> Bundle:
    """Export a classifier; see `export_model`.

    Args:
        source: The classifier.
        destination: The bundle's folder, absolute.
        options: The options; `check_options` has checked them.
        progress: Called with the name of each phase as it begins.
    """
    classifier = read_classifier(source, options, progress)
    with staged_bundle(destination) as folder:
        files = write_files(folder, classifier, progress)
        metrics = [*files.metrics, *_measure_expected(classifier, files, progress)]
        notes = _write_companions(folder, classifier, files)
        quality = _measure_quality(classifier, files, progress)
        _write_report(folder, classifier, files, metrics=metrics, notes=notes, quality=quality)
        write_manifest(folder)
        bundle = load_bundle(folder)
    return replace(bundle, path=destination)


def _measure_expected(classifier: LoadedClassifier, files: MeasuredFiles, progress: Progress) -> list[Metric]:
    """Compare the files with the expected answers, if any were given."""
    if classifier.end_to_end is None:
        return []
    progress("classify the images of the expected answers")
    return classifier.end_to_end.measure(files.runners, classifier.contract)


def _measure_quality(classifier: LoadedClassifier, files: MeasuredFiles, progress: Progress) -> MapQuality | None:
    """Measure how good the maps are, if that was requested."""
    images, calibration, options = classifier.boxed, classifier.calibration, classifier.options
    if images is None and options.map_quality and calibration is not None:
        images = calibration_images(calibration, options.onnx.precision)
    if images is None:
        return None
    return measure_quality(classifier.prepared.reference, classifier.contract, files.served, images, progress)


def _write_companions(folder: Path, classifier: LoadedClassifier, files: MeasuredFiles) -> tuple[str, ...]:
    """Write contract, labels, golden answers and golden images; return notes for the report."""
    contract, labels = classifier.contract, classifier.labels
    in_float32 = files.runners["onnx"] if OPENVINO in files.runners else None
    golden = record_golden(files.served, contract, files.gate.truth.exact, in_float32=in_float32)
    write_golden(folder / GOLDEN_NAME, golden)
    notes = labels.notes
    if classifier.end_to_end is not None:
        notes = (*notes, *classifier.end_to_end.store_images(folder / GOLDEN_IMAGES_NAME))
    (folder / CONTRACT_NAME).write_text(contract.to_json(indent=2) + "\n", encoding="utf-8")
    (folder / LABELS_NAME).write_text("\n".join(labels.lines) + "\n", encoding="utf-8")
    return notes


def _write_report(
    folder: Path,
    classifier: LoadedClassifier,
    files: MeasuredFiles,
    *,
    metrics: Sequence[Metric],
    notes: Sequence[str],
    quality: MapQuality | None,
) -> None:
    examples = files.gate.examples(files.served, classifier.labels.lines)
    int8 = files.int8
    report = make_report(
        classifier.source,
        classifier.prepared,
        classifier.contract,
        metrics,
        warnings=(*classifier.warnings, *files.gate.warnings),
        provenance=classifier.provenance,
        precision=classifier.options.onnx.label,
        images=classifier.images,
        calibration=classifier.calibration,
        graph=_describe_graph(classifier, files),
        int8=None if int8 is None else int8.as_document(),
        files=describe_files(folder),
        examples=examples,
        truth=files.gate.truth,
        notes=(*notes, *(() if int8 is None else int8.notes)),
        quality=quality,
    )
    write_report(folder, report, examples)


def _describe_graph(classifier: LoadedClassifier, files: MeasuredFiles) -> dict[str, Any] | None:
    """Return the graph before and after the export, for the report; None without an ONNX file."""
    if files.graph is None:
        return None
    return {
        "opset": classifier.options.onnx.opset,
        "ir_version": files.graph.ir_version,
        "operators": files.graph.operators,
        "layers": dict(Counter(type(layer).__name__ for layer in classifier.network.layers).most_common()),
    }
