"""`camserve export`: convert a Keras model into a verified bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import typer

from camserve.choices import FORMATS, INPUTS, INT8_TARGETS, PRECISIONS
from camserve.cli import export_options as options
from camserve.cli.console import print_logged_warnings, print_note
from camserve.cli.export_report import report
from camserve.cli.help_layout import Command
from camserve.cli.progress_view import Phases
from camserve.cli.shared_options import Json, check_choice
from camserve.errors import CamserveError, RepositoryError, UsageError

if TYPE_CHECKING:
    from camserve.bundle import Bundle
    from camserve.choices import InputType, Int8Target, Precision
    from camserve.contract import Fit, ResizeFilter
    from camserve.export import Tolerances
    from camserve.serving import Publication

__all__ = ["register"]

_EPILOG = """\
Recipes for SOURCE: resnet50, resnet-mini, resnet50-signs, resnet50-signs-126, resnet50-camera, and keras:NAME for any
classifier of keras.applications.

Example:  camserve export resnet50 --weights imagenet --out bundles/resnet50 --publish model_repository

Example:  camserve export pets.keras --preprocess caffe --resize nearest --out pets --precision int8 --calibration dir
"""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(cls=Command, epilog=_EPILOG)(export)


def export(
    source: options.Source,
    out: options.Out,
    name: options.Name = None,
    weights: options.Weights = None,
    size: options.Size = None,
    classes: options.Classes = None,
    sha256: options.Sha256 = None,
    custom_objects: options.CustomObjects = None,
    preprocess: options.Preprocess = None,
    resize: options.Resize = None,
    fit: options.Fit = None,
    allow_double_preprocessing: options.AllowDoublePreprocessing = False,
    expect: options.Expect = None,
    labels: options.Labels = None,
    input_dtype: options.InputDtype = INPUTS[0],
    precision: options.Precision = PRECISIONS[0],
    calibration: options.Calibration = None,
    int8_target: options.Int8Target = INT8_TARGETS[0],
    int8_layers: options.Int8Layers = options.INT8_LAYERS,
    bound: options.Bound = None,
    cam_top_k: options.CamTopK = None,
    cam_all: options.CamAll = False,
    no_cam: options.NoCam = False,
    map_quality: options.MapQuality = False,
    boxes: options.Boxes = None,
    formats: options.Formats = options.ALL_FORMATS,
    opset: options.Opset = 17,
    publish: options.Publish = None,
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
    print_logged_warnings("camserve.export")
    with Phases() as phases:
        from camserve.export import export_model

        bundle = export_model(
            source,
            out,
            name=name,
            weights=weights,
            size=size,
            classes=classes,
            sha256=sha256,
            custom_objects=custom_objects or (),
            preprocessing=preprocess,
            resize=cast("ResizeFilter | None", resize),
            fit=cast("Fit | None", fit),
            allow_double_preprocessing=allow_double_preprocessing,
            expect=expect,
            labels=labels,
            cam=not no_cam,
            cam_top_k=options.CAM_TOP_K if cam_top_k is None else cam_top_k,
            cam_all=cam_all,
            map_quality=map_quality,
            boxes=boxes,
            input_dtype=cast("InputType", input_dtype),
            precision=cast("Precision", precision),
            calibration=calibration,
            int8_target=cast("Int8Target", int8_target),
            int8_layers=int8_layers,
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
                f"--bound: expected METRIC=NUMBER, got {text!r}",
                hint="Pass e.g. --bound top1_disagreement=0.02",
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
