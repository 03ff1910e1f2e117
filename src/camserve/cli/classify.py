"""`camserve classify`: images in, classes and maps out."""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from camserve.cli.console import fail, print_json, print_table, say
from camserve.cli.options import Command, Json, Model, Timeout, Url
from camserve.errors import CamserveError, ClientError, UsageError
from camserve.text import printable

if TYPE_CHECKING:
    from camserve.clients import ActivationMap, Classification, Classifier, Prediction

__all__ = ["register"]

_EPILOG = "Example:  camserve classify cat.jpg dog.jpg --model resnet50 --cam-dir maps"
_SOURCE_KEY = "camserve.image"
_LONGEST_LABEL = 40
_LONGEST_STEM = 180  # in bytes; with label, number and ending it stays under the 255 of common file systems
_SMALLEST_SIDE = 224
_ALL_FAILED, _SOME_FAILED = 1, 3


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(cls=Command, epilog=_EPILOG)(classify)


def classify(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="Image files.", show_default=False)],
    model: Model,
    url: Url = "localhost:8001",
    top: Annotated[int, typer.Option(min=1, metavar="N", help="How many classes to show.")] = 5,
    cam_dir: Annotated[
        Path | None,
        typer.Option(file_okay=False, metavar="DIR", help="Folder for the map of each image's best class, as PNG."),
    ] = None,
    timeout: Timeout = 30.0,
    as_json: Json = False,
) -> None:
    """Name what images show. With --cam-dir, also draw which of their parts speak for it."""
    from camserve.clients import Classifier

    if cam_dir is not None:
        _make_folder(cam_dir)
    documents: list[dict[str, Any]] = []
    with Classifier(url, model, timeout=timeout) as classifier:
        try:
            for image in images:
                documents.append(_classify_one(classifier, image, top, cam_dir, as_json=as_json))
        finally:  # what was answered before the server went is not lost
            if as_json and documents:
                print_json(documents)
    failed = sum("error" in document for document in documents)
    if failed:
        raise typer.Exit(_ALL_FAILED if failed == len(images) else _SOME_FAILED)


def _make_folder(folder: Path) -> None:
    """Makes the folder of the maps before any work is done for it."""
    hint = "Give a folder that you may write to"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"folder {printable(folder)} cannot be made: {error.strerror}", hint=hint) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"folder {printable(folder)} cannot be written to", hint=hint)


def _classify_one(
    classifier: Classifier, image: Path, top: int, cam_dir: Path | None, *, as_json: bool
) -> dict[str, Any]:
    """The answer for one image, also printed unless it is for JSON, and what went wrong with it, always printed."""
    from camserve.clients import concerns_one_image

    document: dict[str, Any] = {"image": str(image)}
    try:
        result = classifier.classify(image, top=top, cam=cam_dir is not None)
        document |= _answer(result)
        if not as_json:
            _print_answer(image, result)
        if cam_dir is not None:
            document["cam"] = str(_save(result.cams[0], image, cam_dir))
    except CamserveError as error:
        if "top" not in document and not concerns_one_image(error, classifier):
            raise
        fail(error.message, error.hint)
        document["error"] = str(error)
    if "cam" in document and not as_json:
        say(f"Map: {document['cam']}")
    return document


def _print_answer(image: Path, result: Classification) -> None:
    rows = [(f"{place.probability:.2%}", place.label, place.index) for place in result.top]
    say(f"{image} by {result.model}, version {result.version}:")
    print_table(("probability ", "label", "class "), rows)


def _answer(result: Classification) -> dict[str, Any]:
    return {"model": result.model, "version": result.version, "top": [_place(one) for one in result.top]}


def _place(prediction: Prediction) -> dict[str, Any]:
    place = {"index": prediction.index, "label": prediction.label, "probability": prediction.probability}
    return place if prediction.identifier is None else {**place, "identifier": prediction.identifier}


def _save(cam: ActivationMap, image: Path, folder: Path) -> Path:
    try:
        return save_map(cam, image, folder)
    except OSError as error:
        raise ClientError(
            f"the map of {printable(image)} cannot be written to {printable(folder)}: {error.strerror or error}",
            hint="Check the free space and the permissions of the folder",
        ) from error


def save_map(cam: ActivationMap, image: Path, folder: Path) -> Path:
    """Writes the map over its image as PNG and returns the path.

    The file is called after the image and the class. It replaces what an earlier run wrote for the same image; the
    map of another image of that name stands, and this one gets a number.
    """
    from PIL.PngImagePlugin import PngInfo

    folder.mkdir(parents=True, exist_ok=True)  # it may have gone meanwhile
    source = printable(image.absolute())
    stem = f"{_cut(image.stem)}-{re.sub(r'[^A-Za-z0-9]+', '_', cam.label)[:_LONGEST_LABEL]}"
    path = next(path for path in _numbered(folder, stem) if not path.exists() or _source_of(path) == source)
    origin = PngInfo()
    origin.add_itxt(_SOURCE_KEY, source)
    cam.overlay(_size_to_look_at(cam)).save(path, pnginfo=origin)
    return path


def _cut(stem: str) -> str:
    data = os.fsencode(stem)
    return stem if len(data) <= _LONGEST_STEM else data[:_LONGEST_STEM].decode(errors="ignore")


def _numbered(folder: Path, stem: str) -> Iterator[Path]:
    yield folder / f"{stem}.png"
    yield from (folder / f"{stem}-{number}.png" for number in itertools.count(2))


def _source_of(path: Path) -> str | None:
    """Which image a map was made of, as the map itself says; None where it does not."""
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as picture:
            return picture.info.get(_SOURCE_KEY)
    except OSError:
        return None


def _size_to_look_at(cam: ActivationMap) -> tuple[int, int]:
    """The network's own size, or the least multiple of it that is large enough to see."""
    height, width = cam.input_size
    factor = max(1, math.ceil(_SMALLEST_SIDE / min(height, width)))
    return height * factor, width * factor
