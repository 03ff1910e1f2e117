"""`camserve classify`: images in, classes and maps out."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from camserve.cli import connection
from camserve.cli.answers import answer_document, map_document, print_answer
from camserve.cli.console import fail, print_json, say, track
from camserve.cli.grouped import GroupedCommand
from camserve.cli.map_files import make_folder, save_map
from camserve.cli.options import Json
from camserve.errors import CamserveError, UsageError

if TYPE_CHECKING:
    from camserve.clients import ActivationMap, Classification, Classifier

__all__ = ["register"]

_EPILOG = """Example:  camserve classify cat.jpg --model resnet50

Example:  camserve classify photos/ --model resnet50 --cam-dir maps --class tabby

Example:  curl -s https://example.org/cat.jpg | camserve classify - --model resnet50 --json
"""
_STANDARD_INPUT = "-"
_IMAGES, _MAPS = "Images", "Maps"
_ALL_FAILED, _SOME_FAILED = 1, 3


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(cls=GroupedCommand, epilog=_EPILOG)(classify)


def classify(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE",
            help="Image files, folders to search for images, and - for one image from standard input (./- is a file of "
            "that name).",
            show_default=False,
        ),
    ],
    model: connection.Model,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="How many classes to show.")] = 5,
    as_json: Json = False,
    exif: Annotated[
        bool,
        typer.Option(
            "--exif",
            rich_help_panel=_IMAGES,
            help="Turn photos upright as their camera noted. Left out, they lie as Keras's load_img reads them, and as "
            "most models saw them in training.",
        ),
    ] = False,
    crops: Annotated[
        int | None,
        typer.Option(
            "--crops",
            min=1,
            metavar="N",
            rich_help_panel=_IMAGES,
            help="Ask for the centre and N - 1 random parts of each image at the size of the model's input, never "
            "resized, and answer for the part that the model is surest of. For models that look at the pixels' noise.",
            show_default=False,
        ),
    ] = None,
    cam_dir: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            metavar="DIR",
            rich_help_panel=_MAPS,
            help="Draw over each image which of its parts speak for its best class, and write that into this folder.",
        ),
    ] = None,
    class_: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="LABEL|INDEX",
            rich_help_panel=_MAPS,
            help="Draw the map of this class instead. A model exported with --cam-all has it for every class, another "
            "for the best few of each image.",
            show_default=False,
        ),
    ] = None,
    version: connection.Version = "",
    url: connection.Url = "localhost:8001",
    timeout: connection.Timeout = 30.0,
    tls_ca: connection.TlsCa = None,
    tls_certificate: connection.TlsCertificate = None,
    tls_key: connection.TlsKey = None,
    token_file: connection.TokenFile = None,
) -> None:
    """Name what images show. With --cam-dir, also draw which of their parts speak for it.

    Exit codes: 0 all images have their answer; 3 some have an error instead; 1 all have.
    """
    from camserve.clients import Crops, Reading

    _check(images, cam_dir, class_, crops)
    sources = list(_sources(images))
    if cam_dir is not None:
        make_folder(cam_dir)
    with connection.open_classifier(
        url,
        model,
        version=version,
        timeout=timeout,
        tls_ca=tls_ca,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        token_file=token_file,
        reading=Reading(exif=exif),
    ) as classifier:
        wanted = None if class_ is None else _class_of(classifier, class_)
        maps = None if cam_dir is None else Maps(classifier, cam_dir, wanted)
        asked = {"top": top, "cam": maps is not None and wanted is None, "crops": crops and Crops(count=crops)}
        answers = classifier.classify_many((source.image for source in sources), errors="yield", **asked)
