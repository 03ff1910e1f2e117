"""`camserve export`: convert a Keras model into a verified bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from camserve.choices import FORMATS, INPUTS, INT8_TARGETS, PRECISIONS
from camserve.cli.command import Command
from camserve.cli.console import print_note
from camserve.cli.export_report import report
from camserve.cli.options import Json, check_choice, one_of
from camserve.cli.progress_view import Phases
from camserve.errors import CamserveError, RepositoryError, UsageError

if TYPE_CHECKING:
    from camserve.bundle import Bundle
    from camserve.choices import InputType, Int8Target, Precision
    from camserve.contract import Fit, ResizeFilter
    from camserve.export import Tolerances
    from camserve.serving import Publication

__all__ = ["register"]

_CAM_TOP_K = 5
_SOURCE, _PREPROCESSING, _PRECISION, _MAPS = "Source", "Preprocessing", "Precision and parity", "Class activation maps"

_EPILOG = """\
Recipes for SOURCE: resnet50, resnet-mini, resnet50-signs, resnet50-signs-126, resnet50-camera, and keras:NAME for any
classifier of keras.applications.

Example:  camserve export resnet50 --weights imagenet --out bundles/resnet50 --publish model_repository

Example:  camserve export pets.keras --preprocess caffe --out bundles/pets --precision int8 --calibration photos
"""


def _complete_preset(incomplete: str) -> list[str]:
    from camserve.contract import PRESETS

    return [name for name in PRESETS if name.startswith(incomplete)]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(cls=Command, epilog=_EPILOG)(export)


def export(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A recipe, or the path of a .keras or .h5 file or a SavedModel.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write the bundle into.")],
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the model.  [default: that of the source]", rich_help_panel=_SOURCE),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="imagenet|none|FILE",
            help="Pretrained weights, random weights, or a file of weights, for a recipe.",
            rich_help_panel=_SOURCE,
        ),
    ] = None,
    sha256: Annotated[
        str | None,
        typer.Option("--sha256", metavar="HEX", help="Expected SHA-256 of the source file.", rich_help_panel=_SOURCE),
    ] = None,
    custom_objects: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE",
            help="Python module that defines custom layers of the source; can be repeated.",
            rich_help_panel=_SOURCE,
        ),
    ] = None,
    preprocess: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET",
            help="Preprocessing of pixels, as in training: caffe, tf, torch, unit, raw-rgb or raw-bgr.",
            autocompletion=_complete_preset,
            rich_help_panel=_PREPROCESSING,
        ),
    ] = None,
    resize: Annotated[
        str | None,
        typer.Option(
            metavar="FILTER",
            help="Interpolation of the resize, as in training: nearest, bilinear, …",
            rich_help_panel=_PREPROCESSING,
        ),
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option(
            metavar="FIT",
            help="How images are fitted to the input size, as in training: stretch, center-crop or crop-only.",
            autocompletion=one_of(("stretch", "center-crop", "crop-only")),
            rich_help_panel=_PREPROCESSING,
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Text file with the label of each class, one per line.", rich_help_panel=_PREPROCESSING
        ),
    ] = None,
    input_dtype: Annotated[
        str,
        typer.Option(
            "--input",
            metavar="TYPE",
            help="float32: clients normalize the pixels. uint8: the graph does, and requests are a quarter of the "
            "size.",
            autocompletion=one_of(INPUTS),
            rich_help_panel=_PREPROCESSING,
        ),
    ] = INPUTS[0],
    precision: Annotated[
        str,
        typer.Option(
            metavar="PRECISION",
            help="fp32, fp16 (for GPUs) or int8; the head and the maps are always fp32.",
            autocompletion=one_of(PRECISIONS),
            rich_help_panel=_PRECISION,
        ),
    ] = PRECISIONS[0],
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Some hundred images for int8 calibration; every fourth is kept to measure parity instead.",
            rich_help_panel=_PRECISION,
        ),
    ] = None,
    int8_target: Annotated[
        str,
        typer.Option(
            metavar="TARGET",
            help="Runtime of an int8 model: cpu or tensorrt.",
            autocompletion=one_of(INT8_TARGETS),
            rich_help_panel=_PRECISION,
        ),
    ] = INT8_TARGETS[0],
    bound: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=VALUE",
            help="Another tolerance for a parity metric; can be repeated.",
            rich_help_panel=_PRECISION,
        ),
    ] = None,
    cam_top_k: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help=f"Return the maps of the N best classes.  [default: {_CAM_TOP_K}]",
            rich_help_panel=_MAPS,
        ),
    ] = None,
    cam_all: Annotated[
        bool, typer.Option("--cam-all", help="Also offer the map of every class.", rich_help_panel=_MAPS)
    ] = False,
    no_cam: Annotated[
        bool,
        typer.Option(
            "--no-cam", help="Export without maps, e.g. a model whose head is not linear.", rich_help_panel=_MAPS
        ),
    ] = False,
    formats: Annotated[
        str,
        typer.Option(metavar="FORMATS", help="Formats to write, separated by commas.", autocompletion=one_of(FORMATS)),
    ] = ",".join(FORMATS),
    opset: Annotated[int, typer.Option(min=1, metavar="N", help="ONNX opset version.")] = 17,
    publish: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also publish the bundle into this model repository.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Convert a Keras model into a bundle, which is written only if its outputs match those of Keras."""
    formats_list = _parse_formats(formats)
    _check_preprocessing(preprocess, resize, fit)
    check_choice(precision, PRECISIONS, "--precision")
    check_choice(input_dtype, INPUTS, "--input")
    check_choice(int8_target, INT8_TARGETS, "--int8-target")
    tolerances = _parse_tolerances(bound or ())
    if no_cam and cam_top_k is not None:
        raise UsageError("--cam-top-k conflicts with --no-cam", hint="Remove one of them")
    if publish is not None:
        _check_publishable(publish, formats_list, name)
    replaced = out.is_dir() and any(out.iterdir())
    with Phases() as phases:
        from camserve.export import export_model

        bundle = export_model(
            source,
            out,
            name=name,
            weights=weights,
            sha256=sha256,
            custom_objects=custom_objects or (),
            preprocessing=preprocess,
            resize=cast("ResizeFilter | None", resize),
            fit=cast("Fit | None", fit),
            labels=labels,
            cam=not no_cam,
            cam_top_k=_CAM_TOP_K if cam_top_k is None else cam_top_k,
            cam_all=cam_all,
            input_dtype=cast("InputType", input_dtype),
            precision=cast("Precision", precision),
            calibration=calibration,
            int8_target=cast("Int8Target", int8_target),
            formats=formats_list,
            opset=opset,
            tolerances=tolerances,
            progress=phases,
        )
        publication = None
        if publish is not None:
            phases("publish")
            publication = _publish(bundle, publish)
    report(bundle, publication, replaced=replaced, as_json=as_json)


def _parse_formats(text: str) -> tuple[str, ...]:
    formats = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for part in formats:
        check_choice(part, FORMATS, "--formats")
    return formats


def _check_preprocessing(preprocess: str | None, resize: str | None, fit: str | None) -> None:
    from camserve.contract import PRESETS, Fit, ResizeFilter

    check_choice(preprocess, PRESETS, "--preprocess")
    check_choice(resize, get_args(ResizeFilter), "--resize")
    check_choice(fit, get_args(Fit), "--fit")


def _parse_tolerances(texts: Sequence[str]) -> Tolerances:
    """Return the default tolerances with those of --bound."""
    from camserve.export import Tolerances

    values = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            values[name.strip()] = float(value)
        except ValueError:
            raise UsageError(
                f"--bound: expected METRIC=NUMBER, got {text!r}", hint="For example: --bound top1_disagreement=0.02"
            ) from None
    return Tolerances.from_values(values)


def _check_publishable(repository: Path, formats: tuple[str, ...], name: str | None) -> None:
    """Check what would fail the publication after the export, which takes minutes."""
    from camserve.names import check_model_name

    if name is not None:
        check_model_name(name)
    if "onnx" not in formats:
        raise UsageError("--publish requires the format onnx, which Triton serves", hint="Add it: --formats onnx")
    if repository.exists() and not repository.is_dir():
        raise RepositoryError(f"{repository} is not a folder", hint="Give the folder of a model repository")


def _publish(bundle: Bundle, repository: Path) -> Publication:
    from camserve.serving import publish

    try:
        return publish(bundle, repository)
    except CamserveError:
        print_note(f"The bundle was exported and is in {bundle.path}")
        raise
