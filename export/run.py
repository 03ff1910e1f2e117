"""Run an export: load, fold, convert, measure and write the bundle."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from camserve.export.frameworks import keras

from camserve.bundle import CONTRACT_NAME, GOLDEN_IMAGES_NAME, GOLDEN_NAME, LABELS_NAME, Bundle, load_bundle
from camserve.contract import CONTRACT_PARAMETER, ModelContract, Preprocessing
from camserve.contract.maps import version_for
from camserve.export.class_labels import has_two_labels, resolve_labels
from camserve.export.expect.end_to_end import find_expected
from camserve.export.formats.writing import WrittenGraph, open_format, write_onnx, write_saved_model
from camserve.export.gate.calibration import read_calibration
from camserve.export.gate.gate import Gate
from camserve.export.gate.golden_answers import record_golden
from camserve.export.gate.measurement_images import measurement_images
from camserve.export.gate.metric import require_parity
from camserve.export.graph.network import Network
from camserve.export.graph.prepare import Prepared, prepare
from camserve.export.graph.trace import trace
from camserve.export.options import ExportOptions
from camserve.export.pixel_options import check_pixel_type, check_whole_pixels
from camserve.export.provenance import PROVENANCE, collect_provenance
from camserve.export.quality.measure import measure_quality
from camserve.export.report.document import describe_files, make_report, write_report
from camserve.export.resolve import check_arithmetic, resolve_name, resolve_preprocessing
from camserve.export.source.load import Source, load_source
from camserve.export.source.locate import locate_files
from camserve.export.staging import staged_bundle
from camserve.golden import write_golden
from camserve.manifest import write_manifest
from camserve.pixels import graph_input
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
    _, weights = locate_files(source, options.weights)
    progress(f"load the network{f' with the weights in {weights}' if weights and options.weights is None else ''}")
    loaded = load_source(
        source,
        options.weights,
        sha256=options.sha256,
        custom_objects=options.custom_objects,
        size=options.size,
        classes=options.classes,
    )
    progress("fold BatchNorm, add the maps")
    network = trace(loaded.model, options.size)
    end_to_end = find_expected(loaded, network, options, progress)
    if end_to_end is not None:
        options = replace(options, preprocessing=end_to_end.preprocessing)
    preprocessing = _preprocessing(loaded, network, options)
    warnings = (*loaded.warnings, *check_arithmetic(network, preprocessing, options))
    one_sigmoid = network.output.shape[1:] == (1,) and has_two_labels(options)
    prepared = prepare(
        loaded.model,
        cam=options.cam,
        top_k=options.cam_top_k,
        all_classes=options.cam_all,
        pixels=preprocessing if preprocessing.in_graph else None,
        network=network,
        predict=loaded.predict,
        two_classes=one_sigmoid,
    )
    contract = _contract(resolve_name(loaded, options), prepared, preprocessing)
    labels = resolve_labels(loaded, contract, options, one_sigmoid=one_sigmoid)
    calibration = None
    if options.calibration is not None:
        progress("read the calibration images")
        calibration = read_calibration(options.calibration, contract)
    provenance = collect_provenance(loaded)
    images = measurement_images(contract, calibration, options.onnx.precision)
    with staged_bundle(destination) as folder:
        graph = None
        if "onnx" in options.formats:
            progress(f"write onnx, {options.onnx.label}")
            graph = write_onnx(
                folder,
                prepared.served,
                options.onnx,
                {CONTRACT_PARAMETER: contract.to_json(), PROVENANCE: json.dumps(provenance)},
                calibrated=None if calibration is None else graph_input(calibration.fit, preprocessing),
                measured=graph_input(images.pixels, preprocessing),
            )
        if "savedmodel" in options.formats:
            progress("write savedmodel")
            write_saved_model(folder, prepared.served)
        progress("run Keras, measure parity")
        runners = {name: open_format(folder, name) for name in options.formats}
        gate = Gate(prepared, contract, images, options.tolerances)
        metrics = gate.measure(runners, options.onnx.precision, graph.largest_half if graph else None)
        require_parity(metrics, gate.truth.obstacle)
        if end_to_end is not None:
            progress("classify the images of the expected answers")
            metrics += end_to_end.measure(runners, contract)
        run = runners["onnx" if graph else "savedmodel"]
        examples = gate.examples(run, labels.lines)
        write_golden(folder / GOLDEN_NAME, record_golden(run, contract))
        notes = labels.notes
        if end_to_end is not None:
            notes = (*notes, *end_to_end.store_images(folder / GOLDEN_IMAGES_NAME))
        (folder / CONTRACT_NAME).write_text(contract.to_json(indent=2) + "\n", encoding="utf-8")
        (folder / LABELS_NAME).write_text("\n".join(labels.lines) + "\n", encoding="utf-8")
        quality = measure_quality(
            prepared,
            contract,
            run,
            labels=labels.lines,
            calibration=calibration,
            options=options,
            progress=progress,
        )
        report = make_report(
            loaded,
            prepared,
            contract,
            metrics,
            warnings=(*warnings, *gate.warnings),
            provenance=provenance,
            precision=options.onnx.label,
            images=images,
            calibration=calibration,
            graph=_describe_graph(graph, network, options.onnx.opset) if graph else None,
            files=describe_files(folder),
            examples=examples,
            truth=gate.truth,
            notes=notes,
            quality=quality,
        )
        write_report(folder, report, examples)
        write_manifest(folder)
        bundle = load_bundle(folder)
    return replace(bundle, path=destination)


def _preprocessing(loaded: Source, network: Network, options: ExportOptions) -> Preprocessing:
    """Return the preprocessing, with its arithmetic in the graph if that takes uint8 pixels."""
    preprocessing = resolve_preprocessing(loaded, network.shape[2], options)
    check_pixel_type(network.dtype, preprocessing)
    check_whole_pixels(options.input_dtype, preprocessing)
    return preprocessing.model_copy(update={"in_graph": options.input_dtype == "uint8"})


def _describe_graph(graph: WrittenGraph, network: Network, opset: int) -> dict[str, Any]:
    """Return the graph before and after the export, for the report."""
    return {
        "opset": opset,
        "ir_version": graph.ir_version,
        "operators": graph.operators,
        "layers": dict(Counter(type(layer).__name__ for layer in network.layers).most_common()),
    }


def _contract(name: str, prepared: Prepared, preprocessing: Preprocessing) -> ModelContract:
    served = prepared.served
    return ModelContract(
        version=version_for(served.cam),
        name=name,
        input=served.input,
        outputs=served.outputs,
        preprocessing=preprocessing,
        activation=served.activation,
        classes=served.outputs[0].shape[0],
        cam=served.cam,
    )
