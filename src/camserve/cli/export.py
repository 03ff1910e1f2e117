"""`camserve export`: Keras in, verified bundle out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from camserve.choices import FORMATS, INPUTS, INT8_TARGETS, PRECISIONS
from camserve.cli.console import Phases, note
from camserve.cli.export_report import report
from camserve.cli.options import Command, Json, check_choice
from camserve.errors import CamserveError, RepositoryError, UsageError

if TYPE_CHECKING:
    from camserve.bundle import Bundle
    from camserve.choices import InputType, Int8Target, Precision
    from camserve.contract import Fit, ResizeFilter
    from camserve.export import Tolerances
    from camserve.serving import Publication

__all__ = ["register"]

_CAM_TOP_K = 5

_EPILOG = """\
Recipes for SOURCE: resnet50, resnet-mini, resnet50-signs, resnet50-signs-126, resnet50-camera, and keras:NAME for any
classifier of keras.applications.

Example:  camserve export resnet50 --weights imagenet --out bundles/resnet50 --publish model_repository

Example:  camserve export pets.keras --preprocess caffe --out bundles/pets --precision int8 --calibration photos
"""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(cls=Command, epilog=_EPILOG)(export)


def export(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A recipe, or a path: .keras, .h5, SavedModel.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write the bundle into.")],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the model; that of the source unless given.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="imagenet|none|FILE", help="Pretrained, random, or those of a file."),
    ] = None,
    sha256: Annotated[
        str | None, typer.Option("--sha256", metavar="HEX", help="What the SHA-256 of the source file must be.")
    ] = None,
    custom_objects: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE", help="Python module that defines layers of the source; can be repeated."),
    ] = None,
    preprocess: Annotated[
        str | None,
        typer.Option(metavar="PRESET", help="How pixels become input: caffe, tf, torch, unit, raw-rgb or raw-bgr."),
    ] = None,
    resize: Annotated[
        str | None,
        typer.Option(metavar="FILTER", help="Filter of the resize, as at training: nearest, bilinear, …"),
    ] = None,
    fit: Annotated[
        str | None, typer.Option(metavar="FIT", help="stretch, center-crop or crop-only, as at training.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Text file with the name of each class, one a line.")
    ] = None,
    input_dtype: Annotated[
        str,
        typer.Option(
            "--input",
            metavar="TYPE",
            help="float32: clients prepare the pixels. uint8: the graph does, of a quarter of the bytes.",
        ),
    ] = INPUTS[0],
    precision: Annotated[
        str, typer.Option(metavar="PRECISION", help="fp32, fp16 (GPUs) or int8; head and maps are always fp32.")
    ] = PRECISIONS[0],
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Some hundred images: int8 learns from them, parity is measured on every fourth."
        ),
    ] = None,
    int8_target: Annotated[
        str, typer.Option(metavar="TARGET", help="What int8 is for: cpu or tensorrt.")
    ] = INT8_TARGETS[0],
    bound: Annotated[
        list[str] | None,
        typer.Option(metavar="FIGURE=VALUE", help="Another bound of the gate; can be repeated."),
    ] = None,
    cam_top_k: Annotated[
        int | None, typer.Option(min=1, metavar="N", help=f"Maps of how many best classes; {_CAM_TOP_K} unless given.")
    ] = None,
    cam_all: Annotated[bool, typer.Option("--cam-all", help="Also offer the map of every class.")] = False,
    no_cam: Annotated[
        bool, typer.Option("--no-cam", help="Leave the maps out, e.g. for a head that is not linear.")
    ] = False,
    formats: Annotated[str, typer.Option(metavar="FORMATS", help="What to write, separated by commas.")] = ",".join(
        FORMATS
    ),
    opset: Annotated[int, typer.Option(min=1, metavar="N", help="Version of the ONNX operators.")] = 17,
    publish: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Publish there once the export is proven.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn a Keras model into a bundle. It is written only if it is proven to say what Keras says."""
    wanted = _wanted_formats(formats)
    _check(preprocess, resize, fit)
    check_choice(precision, PRECISIONS, "--precision")
    check_choice(input_dtype, INPUTS, "--input")
    check_choice(int8_target, INT8_TARGETS, "--int8-target")
    tolerances = _tolerances(bound or ())
    if no_cam and cam_top_k is not None:
        raise UsageError("--cam-top-k conflicts with --no-cam", hint="Remove one of them")
    if publish is not None:
        _check_publishable(publish, wanted, name)
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
            formats=wanted,
            opset=opset,
            tolerances=tolerances,
            progress=phases,
        )
        publication = None
        if publish is not None:
            phases("publish")
            publication = _publish(bundle, publish)
    report(bundle, publication, as_json=as_json)


def _wanted_formats(text: str) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for part in wanted:
        check_choice(part, FORMATS, "--formats")
    return wanted


def _check(preprocess: str | None, resize: str | None, fit: str | None) -> None:
    from camserve.contract import PRESETS, Fit, ResizeFilter

    check_choice(preprocess, PRESETS, "--preprocess")
    check_choice(resize, get_args(ResizeFilter), "--resize")
    check_choice(fit, get_args(Fit), "--fit")


def _tolerances(texts: Sequence[str]) -> Tolerances:
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
    """Export takes minutes: what would stop publishing afterwards is said before."""
    from camserve.names import check_model_name

    if name is not None:
        check_model_name(name)
    if "onnx" not in formats:
        raise UsageError("--publish needs the format onnx, which Triton serves", hint="Add it: --formats onnx")
    if repository.exists() and not repository.is_dir():
        raise RepositoryError(f"{repository} is not a folder", hint="Give the folder of a model repository")


def _publish(bundle: Bundle, repository: Path) -> Publication:
    from camserve.serving import publish

    try:
        return publish(bundle, repository)
    except CamserveError:
        note(f"The bundle is exported and stands in {bundle.path}")
        raise
