"""`camserve classify`: classify images and draw their class activation maps."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from camserve.cli import client_options, reading_options
from camserve.cli.answer_view import answer_document, map_document, print_answer
from camserve.cli.console import exit_code, print_error, print_json, print_line
from camserve.cli.help_layout import Command
from camserve.cli.image_sources import Source, find_sources, print_left_out
from camserve.cli.map_files import make_folder, save_map
from camserve.cli.progress_view import track
from camserve.cli.shared_options import Json
from camserve.errors import CamserveError, UsageError
from camserve.text import printable

if TYPE_CHECKING:
    from camserve.clients import Classification, Classifier

__all__ = ["register"]

_EPILOG = """Example:  camserve classify cat.jpg --model resnet50

Example:  camserve classify photos/ --model resnet50 --cam-dir maps --class tabby

Example:  curl -s https://example.org/cat.jpg | camserve classify - --model resnet50 --json
"""
_MAPS = "Class activation maps"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(cls=Command, epilog=_EPILOG)(classify)


def classify(
    images: Annotated[
        list[str],  # a Path would drop the ./ of ./-
        typer.Argument(
            metavar="IMAGE",
            help="Image files, folders to search for images, patterns such as 'photos/*.jpg', and - for one image from "
            "standard input (./- is a file of that name).",
            show_default=False,
        ),
    ],
    model: client_options.Model,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Number of classes to print for each image.")] = 5,
    as_json: Json = False,
    exif: reading_options.Exif = False,
    fast_jpeg: reading_options.FastJpeg = False,
    crops: reading_options.CropCount = None,
    max_pixels: reading_options.MaxPixels = reading_options.MAX_PIXELS,
    max_bytes: reading_options.MaxBytes = reading_options.MAX_BYTES,
    cam_dir: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            metavar="DIR",
            rich_help_panel=_MAPS,
            help="Write each image with the class activation map of its best class as an overlay into this folder.",
        ),
    ] = None,
    class_: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="LABEL|INDEX",
            rich_help_panel=_MAPS,
            help="Draw the map of this class instead. Models exported with --cam-all return the map of any class, "
            "others only those of the best few classes of each image.",
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
    """Classify images, and optionally draw class activation maps.

    Images in folders are recognized by extension or content. Hidden files and files of other content are left out, and
    counted at the end.

    Exit codes: 0 success; 3 some images failed; 1 all images failed.
    """
    from camserve.clients import DecodeOptions, LeftOut

    if class_ is not None and cam_dir is None:
        raise UsageError("--class requires --cam-dir", hint="Add --cam-dir DIR, the folder for the maps")
    decode_options = DecodeOptions(exif=exif, fast_jpeg=fast_jpeg, max_pixels=max_pixels, max_bytes=max_bytes)
    left_out = LeftOut()
    sources = find_sources(images, max_bytes, left_out)
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
        decode_options=decode_options,
    ) as classifier:
        answers = classifier.classify_many(
            [source.image for source in sources],
            top=top,
            cam=cam_dir is not None,
            class_=None if class_ is None else _class_index(classifier, class_),
            crops=reading_options.crops_of(crops),
            errors="yield",
        )
        maps = None if cam_dir is None else _Maps(cam_dir, class_)
        failed = _print_all(sources, answers, maps, as_json=as_json)
    print_left_out(left_out)
    if failed:
        raise typer.Exit(exit_code(failed, len(sources)))


@dataclass(frozen=True)
class _Maps:
    """The folder of the maps and their class; None is the best class of each image."""

    folder: Path
    class_: str | None

    def write(self, source: Source, answer: Classification) -> dict[str, Any]:
        """Write the map of an image and return it as JSON."""
        if not answer.cams:
            raise UsageError(
                f"model {answer.model!r} returns maps only for the best classes of {printable(source.name)}, and "
                f"{self.class_!r} is not among them",
                hint="Export the model with --cam-all, or with a larger --cam-top-k, to get the map of any class",
            )
        cam = answer.cams[0]
        return map_document(cam, save_map(cam, source, self.folder))


def _class_index(classifier: Classifier, text: str) -> int:
    """Return the index of the class with that label, or of that index if no label reads so."""
    return classifier.class_index(int(text) if text.isdecimal() and text not in classifier.labels else text)


def _print_all(
    sources: Sequence[Source],
    answers: Generator[Classification | CamserveError, None, None],
    maps: _Maps | None,
    *,
    as_json: bool,
) -> int:
    """Print each answer as it arrives, or all of them at the end as JSON, and return how many images failed."""
    documents: list[dict[str, Any]] = []
    # On a terminal the answers themselves show the progress.
    shown = answers if sys.stdout.isatty() and not as_json else track(answers, len(sources))
    try:
        with closing(answers):
            for source, answer in zip(sources, shown, strict=True):
                documents.append(_print_one(source, answer, maps, as_json=as_json))
    finally:  # so that answers received before a failure are printed
        if as_json and documents:
            print_json(documents)
    return sum("error" in document for document in documents)


def _print_one(
    source: Source, answer: Classification | CamserveError, maps: _Maps | None, *, as_json: bool
) -> dict[str, Any]:
    """Write the map of one answer, print the answer unless it goes into JSON, and return it as JSON."""
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
        name = printable(source.name)
        print_error(error.message if name in error.message else f"{name}: {error.message}", error.hint)
        document["error"] = str(error)
    elif maps is not None and not as_json:
        method = "" if document["cam_method"] == "linear" else f" ({document['cam_method']})"
        print_line(f"Map: {document['cam']}{method}")
        print_line("")
    return document
