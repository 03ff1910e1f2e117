"""Export from end to end: a Keras classifier in, a verified bundle out, or nothing at all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from camserve.export.frameworks import keras

from camserve.bundle import CONTRACT_NAME, GOLDEN_NAME, LABELS_NAME, Bundle, load_bundle
from camserve.choices import FORMATS, InputType, Int8Target, Precision
from camserve.contract import CONTRACT_PARAMETER, Fit, ModelContract, Preprocessing, ResizeFilter
from camserve.export.formats.writing import OnnxSettings, WrittenGraph, open_format, write_onnx, write_saved_model
from camserve.export.gate.calibration import read_calibration
from camserve.export.gate.golden_answers import golden_of
from camserve.export.gate.measurement_images import as_given, measurement_images
from camserve.export.gate.measuring import Gate
from camserve.export.gate.parity import judge
from camserve.export.gate.tolerances import Tolerances
from camserve.export.graph.network import Network, trace
from camserve.export.graph.prepare import Prepared, prepare
from camserve.export.option_checks import (
    check_destination,
    check_formats,
    check_input,
    check_maps,
    check_opset,
    check_pixels,
    check_precision,
)
from camserve.export.provenance import PROVENANCE, collect_provenance
from camserve.export.report.document import files, report_of, write_report
from camserve.export.resolve import resolve_labels, resolve_name, resolve_preprocessing
from camserve.export.source.load import load_source
from camserve.export.staging import staged_bundle
from camserve.golden import write_golden
from camserve.manifest import write_manifest
from camserve.progress import Progress, no_progress

__all__ = ["export_model"]


def export_model(
    source: str | Path | keras.Model,
    out: str | Path,
    *,
    name: str | None = None,
    weights: str | None = None,
    sha256: str | None = None,
    custom_objects: Sequence[str] = (),
    preprocessing: str | Preprocessing | None = None,
    resize: ResizeFilter | None = None,
    fit: Fit | None = None,
    labels: str | Path | Sequence[str] | None = None,
    cam: bool = True,
    cam_top_k: int = 5,
    cam_all: bool = False,
    input_dtype: InputType = "float32",
    precision: Precision = "fp32",
    calibration: str | Path | None = None,
    int8_target: Int8Target = "cpu",
    formats: str | Sequence[str] = FORMATS,
    opset: int = 17,
    budget: Tolerances | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Exports a Keras classifier with its class activation maps, and proves that it still says what Keras says.

    Args:
        source: A recipe, `keras:NAME`, a `.keras` or `.h5` file, a SavedModel folder of Keras, or a Keras model.
        out: The bundle's folder; an earlier bundle there is replaced once the new one has passed.
        name: The name it is served under; by default the recipe's or the file's.
        weights: `imagenet`, `none`, or a file of weights.
        sha256: What the SHA-256 of the source file (or, for a recipe, of the file of weights) must be.
        custom_objects: Dotted names of modules that define or register the source's own layers; they are imported.
        preprocessing: How pixels are prepared: a preset's name (see `camserve.contract.PRESETS`) or the whole value.
            Recipes bring their own; a file does not say, so its owner must.
        resize: Filter of the resize, in place of the preprocessing's own.
        fit: How an image is fitted to the input, likewise.
        labels: Names of the classes: a file with one a line, or a sequence.
        cam: Whether to add the maps.
        cam_top_k: Number of maps, of the best classes.
        cam_all: Whether to answer with the map of every class as well.
        input_dtype: `float32` for a graph that takes prepared images, `uint8` for one that takes RGB or gray pixels
            and prepares them itself, a quarter of the bytes on the wire.
        precision: Of the ONNX file, head and maps aside, which are always float32. A SavedModel is always float32.
        calibration: Folder of images: what int8 learns its ranges from. Every fourth is held out, and parity is
            measured on those, in any precision.
        int8_target: What int8 is meant for: `cpu` or `tensorrt`.
        formats: Which of `onnx` and `savedmodel` to write.
        opset: ONNX operator set.
        budget: Bounds of the parity gate, in place of the usual ones.
        progress: Called with the name of each phase as it begins.

    Returns:
        The bundle, read back from disk.

    Raises:
        UsageError: If the options make no sense together, an image or label file is unusable, or `out` holds
            something else.
        SourceError: If the source cannot be loaded as a classifier.
        HeadError: If maps are asked for and the head is not linear.
        ConversionError: If a format cannot be written.
        ParityError: If the export does not say what Keras says; nothing is written then.
        ExportError: If the bundle cannot be written.
    """
    begin = progress or no_progress
    destination, wanted = check_destination(out), check_formats(formats)
    settings = OnnxSettings(opset, precision, int8_target)
    check_opset(opset)
    check_precision(settings, wanted, calibrated=calibration is not None)
    check_input(input_dtype)
    check_maps(cam=cam, top_k=cam_top_k, every=cam_all)
    begin("load the network")
    loaded = load_source(source, weights, sha256=sha256, custom_objects=custom_objects)
    begin("fold BatchNorm, add the maps")
    network = trace(loaded.model)
    pixels = resolve_preprocessing(loaded, network.shape[2], preprocessing, resize, fit)
    check_pixels(network.dtype, pixels)
    pixels = pixels.model_copy(update={"in_graph": input_dtype == "uint8"})
    prepared = prepare(
        loaded.model,
        cam=cam,
        top_k=cam_top_k,
        all_classes=cam_all,
        pixels=pixels if pixels.in_graph else None,
        network=network,
    )
    contract = _contract(resolve_name(loaded, name), prepared, pixels)
    class_labels = resolve_labels(loaded, contract.classes, labels)
    calibrated = None
    if calibration is not None:
        begin("read the calibration images")
        calibrated = read_calibration(calibration, (contract.height, contract.width), pixels)
    provenance = collect_provenance(loaded)
    images = measurement_images(contract, calibrated, settings)
    with staged_bundle(destination) as folder:
        graph = None
        if "onnx" in wanted:
            begin(f"write onnx, {settings.label}")
            graph = write_onnx(
                folder,
                prepared.served,
                settings,
                {CONTRACT_PARAMETER: contract.to_json(), PROVENANCE: json.dumps(provenance)},
                calibrated=None if calibrated is None else as_given(calibrated.fit, pixels),
                measured=as_given(images.pixels, pixels),
            )
        if "savedmodel" in wanted:
            begin("write savedmodel")
            write_saved_model(folder, prepared.served)
        begin("ask Keras, measure parity")
        gate = Gate(prepared, contract, images, budget or Tolerances())
        figures = gate.figures(folder, wanted, settings, graph)
        judge(figures)
        run = open_format(folder, "onnx" if graph else "savedmodel")
        write_golden(folder / GOLDEN_NAME, golden_of(run, contract))
        (folder / CONTRACT_NAME).write_text(contract.to_json(indent=2) + "\n", encoding="utf-8")
        (folder / LABELS_NAME).write_text("\n".join(class_labels) + "\n", encoding="utf-8")
        examples = gate.examples(run, class_labels)
        report = report_of(
            loaded,
            prepared,
            contract,
            figures,
            provenance=provenance,
            precision=settings.label,
            images=images,
            calibration=calibrated,
            graph=_graph(graph, network, opset) if graph else None,
            files=files(folder),
            examples=examples,
        )
        write_report(folder, report, examples)
        write_manifest(folder)
        bundle = load_bundle(folder)
    return replace(bundle, path=destination)


def _graph(graph: WrittenGraph, network: Network, opset: int) -> dict[str, Any]:
    """The graph before and after, for the report."""
    return {
        "opset": opset,
        "ir_version": graph.ir_version,
        "operators": graph.operators,
        "layers": dict(Counter(type(layer).__name__ for layer in network.layers).most_common()),
    }


def _contract(name: str, prepared: Prepared, preprocessing: Preprocessing) -> ModelContract:
    served = prepared.served
    return ModelContract(
        name=name,
        input=served.input,
        outputs=served.outputs,
        preprocessing=preprocessing,
        activation=served.activation,
        classes=served.outputs[0].shape[0],
        cam=served.cam,
    )
