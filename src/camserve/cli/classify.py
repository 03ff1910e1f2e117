"""`camserve classify`: images in, classes and maps out."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from camserve.cli import client_options
from camserve.cli.answer_view import answer_document, map_document, print_answer
from camserve.cli.console import exit_code, fail, print_json, say, track
from camserve.cli.grouped import GroupedCommand
from camserve.cli.image_sources import Source, find_sources
from camserve.cli.map_files import make_folder, save_map
from camserve.cli.options import Json
from camserve.errors import CamserveError, UsageError
from camserve.text import printable

if TYPE_CHECKING:
    from camserve.clients import Classification, Classifier

__all__ = ["register"]

_EPILOG = """Example:  camserve classify cat.jpg --model resnet50

Example:  camserve classify photos/ --model resnet50 --cam-dir maps --class tabby

Example:  curl -s https://example.org/cat.jpg | camserve classify - --model resnet50 --json
"""
_IMAGES, _MAPS = "Images", "Maps"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(cls=GroupedCommand, epilog=_EPILOG)(classify)


def classify(
    images: Annotated[
        list[str],  # a Path would forget that a file was named ./-
        typer.Argument(
            metavar="IMAGE",
            help="Image files, folders to search for images, and - for one image from standard input (./- is a file of "
            "that name).",
            show_default=False,
        ),
    ],
    model: client_options.Model,
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
    version: client_options.Version = "",
    url: client_options.Url = "localhost:8001",
    timeout: client_options.Timeout = 30.0,
    tls_ca: client_options.TlsCa = None,
    tls_certificate: client_options.TlsCertificate = None,
    tls_key: client_options.TlsKey = None,
    token_file: client_options.TokenFile = None,
) -> None:
    """Name what images show. With --cam-dir, also draw which of their parts speak for it.

    Exit codes: 0 all images have their answer; 3 some have an error instead; 1 all have.
    """
    from camserve.clients import Crops, DecodeOptions

    if class_ is not None and cam_dir is None:
        raise UsageError("--class names a map, which needs a folder to go to", hint="Give --cam-dir DIR too")
    sources = find_sources(images)
    if cam_dir is not None:
        make_folder(cam_dir)
    with client_options.open_classifier(
        url,
        model,
        version=version,
        timeout=timeout,
        tls_ca=tls_ca,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        token_file=token_file,
        decode_options=DecodeOptions(exif=exif),
    ) as classifier:
        answers = classifier.classify_many(
            [source.image for source in sources],
            top=top,
            cam=cam_dir is not None,
            class_=None if class_ is None else _class_of(classifier, class_),
            crops=None if crops is None else Crops(count=crops),
            errors="yield",
        )
        maps = None if cam_dir is None else _Maps(cam_dir, class_)
        failed = _tell_all(sources, answers, maps, as_json=as_json)
    if failed:
        raise typer.Exit(exit_code(failed, len(sources)))


@dataclass(frozen=True)
class _Maps:
    """The folder of the maps, and whose they are: of the class named, or else of the best class of each image."""

    folder: Path
    class_: str | None

    def write(self, source: Source, answer: Classification) -> dict[str, Any]:
        """Writes the map of an image and tells of it."""
        if not answer.cams:
            raise UsageError(
                f"model {answer.model!r} gives maps of the best classes of {printable(source.name)}, and "
                f"{self.class_!r} is not among them",
                hint="Export the model with --cam-all to have the map of any class",
            )
        cam = answer.cams[0]
        return map_document(cam, save_map(cam, source, self.folder))


def _class_of(classifier: Classifier, text: str) -> int:
    """The class of that label, or of that number where no label reads so."""
    return classifier.class_index(int(text) if text.isdecimal() and text not in classifier.labels else text)


def _tell_all(
    sources: Sequence[Source],
    answers: Generator[Classification | CamserveError, None, None],
    maps: _Maps | None,
    *,
    as_json: bool,
) -> int:
    """Tells every answer as it comes, or all of them at the end as JSON; returns how many images have an error."""
    documents: list[dict[str, Any]] = []
    # On a terminal the answers themselves show how far the work has come.
    shown = answers if sys.stdout.isatty() and not as_json else track(answers, len(sources))
    try:
        with closing(answers):
            for source, answer in zip(sources, shown, strict=True):
                documents.append(_tell(source, answer, maps, as_json=as_json))
    finally:  # what was answered before the server went is not lost
        if as_json and documents:
            print_json(documents)
    return sum("error" in document for document in documents)


def _tell(
    source: Source, answer: Classification | CamserveError, maps: _Maps | None, *, as_json: bool
) -> dict[str, Any]:
    """The document of one answer, also printed unless it is for JSON, and what went wrong with it, always printed."""
    document: dict[str, Any] = {"image": str(source.name)}
    error = answer if isinstance(answer, CamserveError) else None
    if not isinstance(answer, CamserveError):
        document |= answer_document(answer)
        if not as_json:
            print_answer(source.name, answer)
        try:
            document |= {} if maps is None else maps.write(source, answer)
        except CamserveError as failure:
            error = failure
    if error is not None:
        fail(error.message, error.hint)
        document["error"] = str(error)
    elif maps is not None and not as_json:
        say(f"Map: {document['cam']}")
        say("")
    return document
