"""Export from end to end: a Keras classifier in, a verified bundle out, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from camserve.bundle import CONTRACT_NAME, LABELS_NAME, ONNX_NAME, SAVED_MODEL_NAME, Bundle, load_bundle
from camserve.contract import CONTRACT_PARAMETER, Fit, ModelContract, Preprocessing, ResizeFilter
from camserve.export import onnx_format, saved_model_format
from camserve.export.load import Source, load_source
from camserve.export.parity import BATCHES, Budget, Figure, judge, measure
from camserve.export.prepare import Prepared, prepare
from camserve.export.reference import Answers
from camserve.export.report import report_of, sizes, write_report
from camserve.export.samples import sample_pictures
from camserve.export.settings import (
    FORMATS,
    check_destination,
    check_formats,
    check_maps,
    check_opset,
    check_pixels,
    resolve_labels,
    resolve_name,
    resolve_preprocessing,
)
from camserve.export.staging import staged
from camserve.manifest import write_manifest
from camserve.pixels import normalize

__all__ = ["export_model"]

Progress = Callable[[str], None]
Batches = list[tuple[npt.NDArray[np.float32], Answers]]


def export_model(
    source: str | Path | keras.Model,
    out: str | Path,
    *,
    name: str | None = None,
    weights: str | None = None,
    preprocessing: str | Preprocessing | None = None,
    resize: ResizeFilter | None = None,
    fit: Fit | None = None,
    labels: str | Path | Sequence[str] | None = None,
    cam: bool = True,
    cam_top_k: int = 5,
    cam_all: bool = False,
    formats: str | Sequence[str] = FORMATS,
    opset: int = 17,
    budget: Budget | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Exports a Keras classifier with its class activation maps, and proves that it still says what Keras says.

    Args:
        source: A recipe, `keras:NAME`, a `.keras` or `.h5` file, a SavedModel folder of Keras, or a Keras model.
        out: The bundle's folder; an earlier bundle there is replaced once the new one has passed.
        name: The name it is served under; by default the recipe's or the file's.
        weights: `imagenet`, `none`, or a file of weights.
        preprocessing: How pixels are prepared: a preset's name (see `camserve.contract.PRESETS`) or the whole value.
            Recipes bring their own; a file does not say, so its owner must.
        resize: Filter of the resize, in place of the preprocessing's own.
        fit: How a picture is fitted to the input, likewise.
        labels: Names of the classes: a file with one a line, or a sequence.
        cam: Whether to add the maps.
        cam_top_k: Number of maps, of the best classes.
        cam_all: Whether to answer with the map of every class as well.
        formats: Which of `onnx` and `savedmodel` to write.
        opset: ONNX operator set.
        budget: Bounds of the parity gate, in place of the usual ones.
        progress: Called with the name of each phase as it begins.

    Returns:
        The bundle, read back from disk.

    Raises:
        UsageError: If the options make no sense together, or `out` holds something else.
        SourceError: If the source cannot be loaded as a classifier.
        HeadError: If maps are asked for and the head is not linear.
        ConversionError: If a format cannot be written.
        ParityError: If the export does not say what Keras says; nothing is written then.
        ExportError: If the bundle cannot be written.
    """
    begin = progress or _unheard
    destination, wanted = check_destination(out), check_formats(formats)
    check_opset(opset)
    check_maps(cam=cam, top_k=cam_top_k, every=cam_all)
    begin("load the network")
    loaded = load_source(source, weights)
    begin("fold BatchNorm, add the maps")
    prepared = prepare(loaded.model, cam=cam, top_k=cam_top_k, all_classes=cam_all)
    pixels = resolve_preprocessing(loaded, prepared.served.input.shape[2], preprocessing, resize, fit)
    check_pixels(prepared.input_dtype, pixels)
    contract = _contract(resolve_name(loaded, name), prepared, pixels)
    class_labels = resolve_labels(loaded, contract.classes, labels)
    with staged(destination) as folder:
        writer = _Writer(folder, loaded, prepared, contract, opset)
        for format_name in wanted:
            begin(f"write {format_name}")
            writer.write(format_name)
        begin("ask Keras")
        batches = _batches(prepared, contract)
        begin("measure parity")
        figures = writer.figures(wanted, batches, budget or Budget())
        judge(figures)
        (folder / CONTRACT_NAME).write_text(contract.to_json(indent=2) + "\n", encoding="utf-8")
        (folder / LABELS_NAME).write_text("\n".join(class_labels) + "\n", encoding="utf-8")
        graph = {"opset": opset, "operators": writer.operators} if writer.operators else None
        write_report(folder, report_of(loaded, prepared, contract, figures, graph=graph, sizes=sizes(folder)))
        write_manifest(folder)
        bundle = load_bundle(folder)
    return replace(bundle, path=destination)


def _unheard(phase: str) -> None:
    """Nobody asked how far the work is."""


@dataclass
class _Writer:
    """Writes the formats of one export and measures the files."""

    folder: Path
    source: Source
    prepared: Prepared
    contract: ModelContract
    opset: int

    def __post_init__(self) -> None:
        self.operators: dict[str, int] = {}

    def write(self, format_name: str) -> None:
        if format_name == "savedmodel":
            return saved_model_format.write_saved_model(self.prepared.served, self.folder / SAVED_MODEL_NAME)
        model = onnx_format.convert(self.prepared.served, self.opset)
        self.operators = onnx_format.count_operators(model)
        metadata = {CONTRACT_PARAMETER: self.contract.to_json(), "camserve.source": self.source.origin}
        return onnx_format.write_onnx(model, self.folder / ONNX_NAME, metadata)

    def figures(self, formats: Sequence[str], batches: Batches, budget: Budget) -> list[Figure]:
        images, answers = batches[1]
        figures = self.prepared.figures(images, answers, budget)
        for format_name in formats:
            if format_name == "savedmodel":
                run = saved_model_format.open_saved_model(self.folder / SAVED_MODEL_NAME)
            else:
                run = onnx_format.open_onnx(self.folder / ONNX_NAME)
            figures += measure(format_name, run, batches, self.prepared.head, budget)
        return figures


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


def _batches(prepared: Prepared, contract: ModelContract) -> Batches:
    """Different pictures in each batch, prepared by the contract, with Keras's answers."""
    pictures = sample_pictures(sum(BATCHES), *contract.input.shape)
    images = normalize(pictures, contract.preprocessing)
    parts = np.split(images, np.cumsum(BATCHES)[:-1])
    return [(part, prepared.reference(part)) for part in parts]
