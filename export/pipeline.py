"""`export_model`: check the options at once, then load the frameworks and export."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from camserve.bundle import Bundle
from camserve.choices import FORMATS, InputType, Int8Target, Precision
from camserve.contract import Fit, Preprocessing, ResizeFilter
from camserve.export.formats.onnx_settings import OnnxSettings
from camserve.export.gate.tolerances import Tolerances
from camserve.export.int8.choice import LayerChoice
from camserve.export.option_checks import check_destination, check_options, parse_formats
from camserve.export.options import ExportOptions
from camserve.export.source.checks import parse_size
from camserve.labels import LabelSource
from camserve.progress import Progress, no_progress

if TYPE_CHECKING:
    import keras

__all__ = ["export_model"]


def export_model(
    source: str | Path | keras.Model,
    out: str | Path,
    *,
    name: str | None = None,
    weights: str | None = None,
    sha256: str | None = None,
    custom_objects: Sequence[str] = (),
    size: str | tuple[int, int] | None = None,
    classes: int | None = None,
    preprocessing: str | Preprocessing | None = None,
    resize: ResizeFilter | None = None,
    fit: Fit | None = None,
    allow_double_preprocessing: bool = False,
    expect: str | Path | None = None,
    labels: LabelSource | None = None,
    cam: bool = True,
    cam_top_k: int = 5,
    cam_all: bool = False,
    map_quality: bool = False,
    boxes: str | Path | None = None,
    input_dtype: InputType = "float32",
    precision: Precision = "fp32",
    calibration: str | Path | None = None,
    int8_target: Int8Target = "cpu",
    int8_layers: str = "auto",
    formats: str | Sequence[str] = FORMATS,
    opset: int = 17,
    tolerances: Tolerances | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Export a Keras classifier with its class activation maps, and verify that it gives Keras's answers.

    Args:
        source: A recipe, `keras:NAME`, a `.keras` or `.h5` file, an architecture in JSON (`model.to_json()`), a
            SavedModel folder written by Keras, or a Keras model.
        out: The folder of the bundle. A bundle in it is replaced once the new one has passed.
        name: The name to serve under (default: that of the recipe or file).
        weights: `imagenet`, `none`, or a weights file (default for an architecture in JSON: the one beside it).
        sha256: Expected SHA-256 of the source file or, for a recipe, of the weights file.
        custom_objects: Dotted names of modules to import, which define or register the source's own layers.
        size: Height and width of the images, in pixels, as a tuple or as text (`"224x224"`). Required for a model whose
            input takes any size; for a recipe, the size to build it for (default: its own).
        classes: Number of classes to build a recipe or `keras:NAME` with (default: its own), for fine-tuned `weights`.
        preprocessing: A preset's name (see `camserve.contract.PRESETS`) or a value. Required for files and models;
            recipes have their own.
        resize: Resize filter. Required for files and models, unless `preprocessing` is a value with a filter of its own
            or images are only cropped; recipes have their own.
        fit: How an image is fitted to the input (default: that of the preprocessing).
        allow_double_preprocessing: Whether to export a model that scales or shifts pixels inside, although the
            preprocessing does so too; otherwise it is refused.
        expect: File with image paths and the answers that the model's own pipeline gave for them: CSV with the columns
            `path` and `class`, or `path` and one column of probabilities for each class, or an `.npz` file with
            `paths` and `classes` or `probabilities`. The whole way from file to answer must reproduce them; parts of
            the preprocessing that are not given are found. Up to 20 images are stored in the bundle.
        labels: Labels of the classes: a list in class order, a dictionary as Keras's `class_indices` or of class
            numbers to labels, or a file: text with one label per line, or JSON with such a list or dictionary. Two
            labels make two classes of a single sigmoid p: the first has the probability 1 - p, the second p.
        cam: Whether to add the maps.
        cam_top_k: Number of maps, of the best classes.
        cam_all: Whether to add an output with the map of every class; only if the head is linear.
        map_quality: Whether to measure how good the maps are, on images of `boxes` or else of `calibration`: deletion
            and insertion curves compared with random maps, and the maps of other weights. It takes up to
            1,500 inferences.
        boxes: CSV file with boxes around the objects in images, with the columns `path`, `class` (a number or label),
            `xmin`, `ymin`, `xmax` and `ymax` in pixels of the image file. Adds the pointing game to `map_quality`,
            which it implies.
        input_dtype: `float32` for a graph that takes normalized images, `uint8` for a graph that takes RGB or gray
            pixels and normalizes them itself, which needs a quarter of the network traffic.
        precision: Precision of the ONNX file. The head and the maps are float32, and so is a SavedModel. `bf16` writes
            the file of fp32, which OpenVINO computes in bf16, head and maps too, on processors that can.
        calibration: Folder of images that int8 is calibrated with. Every fourth is held out, and parity is measured on
            these, in any precision.
        int8_target: The runtime that int8 is for: `cpu` or `tensorrt`.
        int8_layers: The layers that int8 quantizes: `auto` for all, or, if the gate refuses that, all but the
            cheapest ones with which it accepts the export, which the report names; `all`; or `all,-NAME[,-NAME...]`
            for all but these, by the names of Keras layers or patterns such as `-block_1_*`.
        formats: Which of `onnx` and `savedmodel` to write.
        opset: ONNX operator set.
        tolerances: Tolerances of the parity gate (default: `Tolerances()`).
        progress: Called with the name of each phase as it begins.

    Returns:
        The bundle, as it was read back from disk.

    Raises:
        UsageError: If an option is invalid or conflicts with another one, an image or label file cannot be used, or
            `out` contains other files. Nothing is loaded before the options are checked.
        SourceError: If the source cannot be loaded as a classifier.
        HeadError: If `cam` is true and the head contains a step whose derivative is unknown.
        ConversionError: If a format cannot be written.
        ParityError: If the export differs from Keras; nothing is written.
        ExportError: If a framework is missing, or the bundle cannot be written.
    """
    begin = progress or no_progress
    destination = check_destination(out)
    options = ExportOptions(
        name=name,
        weights=weights,
        sha256=sha256,
        custom_objects=tuple(custom_objects),
        size=parse_size(size),
        classes=classes,
        preprocessing=preprocessing,
        resize=resize,
        fit=fit,
        allow_double_preprocessing=allow_double_preprocessing,
        expect=expect,
        labels=labels,
        cam=cam,
        cam_top_k=cam_top_k,
        cam_all=cam_all,
        map_quality=map_quality,
        boxes=boxes,
        input_dtype=input_dtype,
        onnx=OnnxSettings(opset, precision, int8_target),
        calibration=calibration,
        int8_layers=LayerChoice.parse(int8_layers),
        formats=parse_formats(formats),
        tolerances=tolerances or Tolerances(),
    )
    check_options(source, options)
    if "tensorflow" not in sys.modules:
        begin("load TensorFlow")
    from camserve.export.frameworks import full_float32  # noqa: PLC0415  (takes seconds)

    from camserve.export.run import run_export  # noqa: PLC0415

    with full_float32():
        return run_export(source, destination, options, begin)
