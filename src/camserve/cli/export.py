"""`camserve export`: Keras in, verified bundle out."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from camserve.cli.console import Phases, note, print_json, print_table, say
from camserve.cli.options import Command, Json, check_choice
from camserve.cli.serving import publication_document, say_published
from camserve.errors import CamserveError, RepositoryError, UsageError

if TYPE_CHECKING:
    from camserve.bundle import Bundle
    from camserve.contract import Fit, ResizeFilter
    from camserve.serving import Publication

__all__ = ["publish_command", "register", "worst_figures"]

_FORMATS = ("onnx", "savedmodel")
_CAM_TOP_K = 5

_EPILOG = """\
Recipes for SOURCE: resnet50, resnet-mini, resnet50-signs, resnet50-signs-126, resnet50-camera, and keras:NAME for any
classifier of keras.applications.

Example:  camserve export resnet50 --weights imagenet --out bundles/resnet50 --publish model_repository
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
    cam_top_k: Annotated[
        int | None, typer.Option(min=1, metavar="N", help=f"Maps of how many best classes; {_CAM_TOP_K} unless given.")
    ] = None,
    cam_all: Annotated[bool, typer.Option("--cam-all", help="Also offer the map of every class.")] = False,
    no_cam: Annotated[
        bool, typer.Option("--no-cam", help="Leave the maps out, e.g. for a head that is not linear.")
    ] = False,
    formats: Annotated[str, typer.Option(metavar="FORMATS", help="What to write, separated by commas.")] = ",".join(
        _FORMATS
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
    if no_cam and (cam_all or cam_top_k is not None):
        raise UsageError("--no-cam contradicts --cam-all and --cam-top-k", hint="Leave one of them out")
    if publish is not None:
        _check_publishable(publish, wanted, name)
    with Phases() as phases:
        phases("load TensorFlow")
        from camserve.export import export_model

        bundle = export_model(
            source,
            out,
            name=name,
            weights=weights,
            preprocessing=preprocess,
            resize=cast("ResizeFilter | None", resize),
            fit=cast("Fit | None", fit),
            labels=labels,
            cam=not no_cam,
            cam_top_k=_CAM_TOP_K if cam_top_k is None else cam_top_k,
            cam_all=cam_all,
            formats=wanted,
            opset=opset,
            progress=phases,
        )
        publication = None
        if publish is not None:
            phases("publish")
            publication = _publish(bundle, publish)
    _report(bundle, publication, as_json=as_json)


def _wanted_formats(text: str) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for part in wanted:
        check_choice(part, _FORMATS, "--formats")
    return wanted


def _check(preprocess: str | None, resize: str | None, fit: str | None) -> None:
    from camserve.contract import PRESETS, Fit, ResizeFilter

    check_choice(preprocess, PRESETS, "--preprocess")
    check_choice(resize, get_args(ResizeFilter), "--resize")
    check_choice(fit, get_args(Fit), "--fit")


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


def _report(bundle: Bundle, publication: Publication | None, *, as_json: bool) -> None:
    parity: list[dict[str, Any]] = bundle.report["parity"]
    for warning in bundle.report["warnings"]:
        note(f"warning: {warning}")
    if as_json:
        document: dict[str, Any] = {
            "bundle": str(bundle.path),
            "name": bundle.contract.name,
            "warnings": bundle.report["warnings"],
            "parity": parity,
        }
        if publication is not None:
            document["published"] = publication_document(publication)
        print_json(document)
        return
    say("Parity with Keras, the worst of all batches:")
    print_table(("format", "figure", "worst ", "bound ", "batches"), worst_figures(parity))
    say(f"Bundle:    {bundle.path}")
    if publication is None:
        say(f"Next:      {publish_command(bundle.path)}")
    else:
        say_published(publication)


def publish_command(bundle: Path) -> str:
    """What to type to publish a bundle, fit to be pasted into a shell."""
    return f"camserve publish {shlex.quote(str(bundle))} --repository model_repository"


def worst_figures(parity: list[dict[str, Any]]) -> list[tuple[str, str, str, str, str]]:
    """One row per format and figure of the gate: the worst value of all batches, its bound, and the batches."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in parity:
        groups.setdefault((row["format"], row["figure"]), []).append(row)
    return [
        (
            format_name,
            figure.replace("_", " "),
            _scientific(max(row["value"] for row in rows)),
            _scientific(rows[0]["bound"]),
            ", ".join(str(row["batch"]) for row in rows if row["batch"]) or "-",
        )
        for (format_name, figure), rows in groups.items()
    ]


def _scientific(value: float) -> str:
    return f"{value:.1e}" if value else "0"
