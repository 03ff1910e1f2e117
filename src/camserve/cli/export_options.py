"""The options of `camserve export`, by the heading under which its help shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from camserve.choices import FORMATS, INPUTS, INT8_TARGETS, PRECISIONS
from camserve.cli.shared_options import one_of

__all__ = [
    "ALL_FORMATS",
    "CAM_TOP_K",
    "INT8_LAYERS",
    "AllowDoublePreprocessing",
    "Bound",
    "Boxes",
    "Calibration",
    "CamAll",
    "CamTopK",
    "Classes",
    "CustomObjects",
    "Expect",
    "Fit",
    "Formats",
    "InputDtype",
    "Int8Layers",
    "Int8Target",
    "Labels",
    "MapQuality",
    "Name",
    "NoCam",
    "Opset",
    "Out",
    "Precision",
    "Preprocess",
    "Publish",
    "Resize",
    "Sha256",
    "Size",
    "Source",
    "Weights",
]

ALL_FORMATS = ",".join(FORMATS)
"""The default of --formats."""

CAM_TOP_K = 5
"""The default number of maps."""

INT8_LAYERS = "auto"
"""The default of --int8-layers."""

_SOURCE, _PREPROCESSING, _PRECISION, _MAPS = "Source", "Preprocessing", "Precision and parity", "Class activation maps"


def _complete_preset(incomplete: str) -> list[str]:
    from camserve.contract import PRESETS

    return [name for name in PRESETS if name.startswith(incomplete)]


Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", help="A recipe, keras:NAME, or the path of a .keras, .h5 or .json file or a SavedModel."
    ),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write the bundle into.")]
Name = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Name of the model.  [default: that of the source]", rich_help_panel=_SOURCE),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="imagenet|none|FILE",
        help="Pretrained weights or random weights of a recipe, or a file of weights for any source.",
        rich_help_panel=_SOURCE,
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        metavar="HxW",
        help="Height and width of the images, for a model that takes any size or a recipe, e.g. 224x224.",
        rich_help_panel=_SOURCE,
    ),
]
Classes = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Number of classes of a recipe or keras:NAME, for fine-tuned weights.",
        rich_help_panel=_SOURCE,
    ),
]
Sha256 = Annotated[
    str | None,
    typer.Option("--sha256", metavar="HEX", help="Expected SHA-256 of the source file.", rich_help_panel=_SOURCE),
]
CustomObjects = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODULE",
        help="Python module that defines custom layers of the source; can be repeated.",
        rich_help_panel=_SOURCE,
    ),
]
Preprocess = Annotated[
    str | None,
    typer.Option(
        metavar="PRESET",
        help="Preprocessing of pixels, as in training: caffe, tf, torch, unit, raw-rgb or raw-bgr.",
        autocompletion=_complete_preset,
        rich_help_panel=_PREPROCESSING,
    ),
]
Resize = Annotated[
    str | None,
    typer.Option(
        metavar="FILTER",
        help="Interpolation of the resize, as in training: nearest, bilinear, … (Keras's load_img), tf-bilinear, … "
        "(image_dataset_from_directory, tf.image.resize), cv2-linear, … (OpenCV).",
        rich_help_panel=_PREPROCESSING,
    ),
]
Fit = Annotated[
    str | None,
    typer.Option(
        metavar="FIT",
        help="How images are fitted to the input size, as in training: stretch, center-crop or crop-only.",
        autocompletion=one_of(("stretch", "center-crop", "crop-only")),
        rich_help_panel=_PREPROCESSING,
    ),
]
AllowDoublePreprocessing = Annotated[
    bool,
    typer.Option(
        "--allow-double-preprocessing",
        help="Export even if both the model and --preprocess scale or shift the pixels.",
        rich_help_panel=_PREPROCESSING,
    ),
]
Expect = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Images with the answers of your own pipeline, as CSV (path, and class or a column per class) or .npz: "
        "the export must reproduce them; what is not given of --preprocess, --resize and --fit is found.",
        rich_help_panel=_PREPROCESSING,
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Labels of the classes: text with one per line, or JSON (a list, or Keras's class_indices). Two labels "
        "make two classes of a single sigmoid.",
        rich_help_panel=_PREPROCESSING,
    ),
]
InputDtype = Annotated[
    str,
    typer.Option(
        "--input",
        metavar="TYPE",
        help="float32: clients normalize the pixels. uint8: the graph does, and requests are a quarter of the size.",
        autocompletion=one_of(INPUTS),
        rich_help_panel=_PREPROCESSING,
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="PRECISION",
        help="fp32, fp16 (for GPUs), bf16 (for CPUs with AMX, through OpenVINO) or int8. Head and maps are fp32, "
        "except in bf16.",
        autocompletion=one_of(PRECISIONS),
        rich_help_panel=_PRECISION,
    ),
]
Calibration = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder with a few hundred images for int8 calibration; every fourth is used to measure parity instead.",
        rich_help_panel=_PRECISION,
    ),
]
Int8Target = Annotated[
    str,
    typer.Option(
        metavar="TARGET",
        help="Runtime of an int8 model: cpu or tensorrt.",
        autocompletion=one_of(INT8_TARGETS),
        rich_help_panel=_PRECISION,
    ),
]
Int8Layers = Annotated[
    str,
    typer.Option(
        metavar="LAYERS",
        help="Layers that int8 quantizes: auto (all, or else the most that pass the parity gate), all, or all but "
        "some: all,-NAME[,-NAME...], with * in names.",
        rich_help_panel=_PRECISION,
    ),
]
Bound = Annotated[
    list[str] | None,
    typer.Option(
        metavar="METRIC=VALUE",
        help="Another tolerance for a parity metric, shown beside its default in every report; can be repeated.",
        rich_help_panel=_PRECISION,
    ),
]
CamTopK = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help=f"Return the maps of the N best classes.  [default: {CAM_TOP_K}]",
        rich_help_panel=_MAPS,
    ),
]
CamAll = Annotated[
    bool, typer.Option("--cam-all", help="Also offer the map of every class; linear heads only.", rich_help_panel=_MAPS)
]
NoCam = Annotated[
    bool,
    typer.Option(
        "--no-cam", help="Export without maps, e.g. a model whose head has an unknown layer.", rich_help_panel=_MAPS
    ),
]
MapQuality = Annotated[
    bool,
    typer.Option(
        "--map-quality",
        help="Also measure how good the maps are, on the images of --boxes or --calibration; takes up to "
        "1,500 inferences.",
        rich_help_panel=_MAPS,
    ),
]
Boxes = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Boxes of the objects in images, as CSV (path, class, xmin, ymin, xmax, ymax in pixels): also measure "
        "whether the maps point at them. Implies --map-quality.",
        rich_help_panel=_MAPS,
    ),
]
Formats = Annotated[
    str,
    typer.Option(metavar="FORMATS", help="Formats to write, separated by commas.", autocompletion=one_of(FORMATS)),
]
Opset = Annotated[int, typer.Option(min=1, metavar="N", help="ONNX opset version.")]
Publish = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Also publish the bundle into this model repository.")
]
