"""`camserve classify`: images in, classes and maps out."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from camserve.cli.console import fail, print_json, print_table, printable, say
from camserve.cli.options import Json, Model, Url
from camserve.errors import DeadlineError, ImageError, RequestError

if TYPE_CHECKING:
    from camserve.clients import ActivationMap, Classification, Classifier

__all__ = ["register"]

_EPILOG = "Example:  camserve classify cat.jpg dog.jpg --model resnet50 --cam-dir maps"
_ONE_IMAGE_ERRORS = (ImageError, RequestError, DeadlineError)
_SOURCE_KEY = "camserve.image"
_LONGEST_LABEL = 40
_SMALLEST_SIDE = 224
_ALL_FAILED, _SOME_FAILED = 1, 3


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=_EPILOG)(classify)


def classify(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.", show_default=False)],
    model: Model,
    url: Url = "localhost:8001",
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 5,
    cam_dir: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Folder for the map of each image's best class, as PNG."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Name what images show. With --cam-dir, also draw which of their parts speak for it."""
    from camserve.clients import Classifier

    with Classifier(url, model) as classifier:
        documents = [_classify_one(classifier, image, top, cam_dir, as_json=as_json) for image in images]
    if as_json:
        print_json(documents)
    failed = sum("error" in document for document in documents)
    if failed:
        raise typer.Exit(_ALL_FAILED if failed == len(images) else _SOME_FAILED)


def _classify_one(
    classifier: Classifier, image: Path, top: int, cam_dir: Path | None, *, as_json: bool
) -> dict[str, Any]:
    """The answer for one image, also printed unless it is for JSON; its error, always printed, where there is none."""
    try:
        result = classifier.classify(image, top=top, cam=cam_dir is not None)
    except _ONE_IMAGE_ERRORS as error:
        fail(error.message, error.hint)
        return {"image": str(image), "error": str(error)}
    cam_path = None if cam_dir is None else save_map(result.cams[0], image, cam_dir)
    if not as_json:
        _print_answer(image, result, cam_path)
    return _document(image, result, cam_path)


def _print_answer(image: Path, result: Classification, cam_path: Path | None) -> None:
    rows = [(f"{place.probability:.2%}", place.label, place.index) for place in result.top]
    say(f"{image} by {result.model}, version {result.version}:")
    print_table(("probability ", "label", "class "), rows)
    if cam_path is not None:
        say(f"Map: {cam_path}")


def _document(image: Path, result: Classification, cam_path: Path | None) -> dict[str, Any]:
    top = [{"index": one.index, "label": one.label, "probability": one.probability} for one in result.top]
    document: dict[str, Any] = {"image": str(image), "model": result.model, "version": result.version, "top": top}
    if cam_path is not None:
        document["cam"] = str(cam_path)
    return document


def save_map(cam: ActivationMap, image: Path, folder: Path) -> Path:
    """Writes the map over its image as PNG and returns the path.

    The file is called after the image and the class. It replaces what an earlier run wrote for the same image; the
    map of another image of that name stands, and this one gets a number.
    """
    from PIL.PngImagePlugin import PngInfo

    folder.mkdir(parents=True, exist_ok=True)
    source = printable(image.absolute())
    stem = f"{image.stem}-{re.sub(r'[^A-Za-z0-9]+', '_', cam.label)[:_LONGEST_LABEL]}"
    path = next(path for path in _numbered(folder, stem) if not path.exists() or _source_of(path) == source)
    origin = PngInfo()
    origin.add_itxt(_SOURCE_KEY, source)
    cam.overlay(_size_to_look_at(cam)).save(path, pnginfo=origin)
    return path


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
