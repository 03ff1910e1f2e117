"""Read all that an export needs: the network, its contract, its labels and the images to measure it on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from camserve.export.frameworks import keras

from camserve.contract import ModelContract, Preprocessing
from camserve.contract.maps import version_for
from camserve.export.class_labels import ClassLabels, has_two_labels, resolve_labels
from camserve.export.expect.end_to_end import EndToEnd, find_expected
from camserve.export.gate.calibration import Calibration, read_calibration
from camserve.export.gate.measurement_images import MeasurementImages, measurement_images
from camserve.export.graph.network import Network
from camserve.export.graph.prepare import Prepared, prepare
from camserve.export.graph.trace import trace
from camserve.export.options import ExportOptions
from camserve.export.pixel_options import check_pixel_type, check_whole_pixels
from camserve.export.provenance import collect_provenance
from camserve.export.quality.boxes import read_boxes
from camserve.export.quality.images import QualityImages, read_boxed_images
from camserve.export.resolve import check_arithmetic, resolve_name, resolve_preprocessing
from camserve.export.source.load import Source, load_source
from camserve.export.source.locate import locate_files
from camserve.progress import Progress

__all__ = ["LoadedClassifier", "contract_of", "read_classifier"]


@dataclass(frozen=True)
class LoadedClassifier:
    """A classifier with all that its export needs.

    Attributes:
        options: The options, with the preprocessing that was found if expected answers were given.
        source: The loaded source.
        network: The network as it was traced.
        prepared: The graph to convert, and the reference to compare it with.
        contract: The contract of the export.
        labels: The labels of its classes, with notes.
        end_to_end: The expected answers; None if none were given.
        calibration: The calibration images; None without any.
        images: The images that the gate measures on.
        boxed: The images with boxes that the maps are measured on; None without boxes.
        provenance: Hashes and versions.
        warnings: Warnings about the file and the preprocessing.
    """

    options: ExportOptions
    source: Source
    network: Network
    prepared: Prepared
    contract: ModelContract
    labels: ClassLabels
    end_to_end: EndToEnd | None
    calibration: Calibration | None
    images: MeasurementImages
    boxed: QualityImages | None
    provenance: dict[str, Any]
    warnings: tuple[str, ...]


def read_classifier(source: str | Path | keras.Model, options: ExportOptions, progress: Progress) -> LoadedClassifier:
    """Load a classifier, prepare its graph, and read its labels and images; see `export_model`.

    Args:
        source: The classifier.
        options: The options; `check_options` has checked them.
        progress: Called with the name of each phase as it begins.
    """
    loaded = _load(source, options, progress)
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
    contract = contract_of(resolve_name(loaded, options), prepared, preprocessing)
    labels = resolve_labels(loaded, contract, options, one_sigmoid=one_sigmoid)
    calibration = None
    if options.calibration is not None:
        progress("read the calibration images")
        calibration = read_calibration(options.calibration, contract)
    boxed = None
    if options.boxes is not None:
        progress("read the images with boxes")
        boxed = read_boxed_images(read_boxes(options.boxes), contract, labels.lines)
    return LoadedClassifier(
        options=options,
        source=loaded,
        network=network,
        prepared=prepared,
        contract=contract,
        labels=labels,
        end_to_end=end_to_end,
        calibration=calibration,
        images=measurement_images(contract, calibration, options.onnx.precision),
        boxed=boxed,
        provenance=collect_provenance(loaded, options.onnx),
        warnings=warnings,
    )


def _load(source: str | Path | keras.Model, options: ExportOptions, progress: Progress) -> Source:
    _, weights = locate_files(source, options.weights)
    progress(f"load the network{f' with the weights in {weights}' if weights and options.weights is None else ''}")
    return load_source(
        source,
        options.weights,
        sha256=options.sha256,
        custom_objects=options.custom_objects,
        size=options.size,
        classes=options.classes,
    )


def _preprocessing(loaded: Source, network: Network, options: ExportOptions) -> Preprocessing:
    """Return the preprocessing, with its arithmetic in the graph if that takes uint8 pixels."""
    preprocessing = resolve_preprocessing(loaded, network.shape[2], options)
    check_pixel_type(network.dtype, preprocessing)
    check_whole_pixels(options.input_dtype, preprocessing)
    return preprocessing.model_copy(update={"in_graph": options.input_dtype == "uint8"})


def contract_of(name: str, prepared: Prepared, preprocessing: Preprocessing) -> ModelContract:
    """Return the contract of a prepared network."""
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
