"""`camserve demo`: every step on bundled handwritten digits."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from camserve.cli.console import print_json, print_line
from camserve.cli.help_layout import Command
from camserve.cli.progress_view import Phases
from camserve.cli.shared_options import Json

if TYPE_CHECKING:
    from camserve.demo import DemoResult

__all__ = ["register"]

_EPILOG = "Example:  camserve demo --work /tmp/digits"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(cls=Command, epilog=_EPILOG)(demo)


def demo(
    work: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder for the images, the bundle and the gallery.", file_okay=False),
    ] = Path("demo"),
    repository: Annotated[
        Path, typer.Option(metavar="DIR", help="Model repository to publish into.", file_okay=False)
    ] = Path("model_repository"),
    as_json: Json = False,
) -> None:
    """Run every step on handwritten digits: train, export, publish, serve, classify, draw the maps."""
    with Phases() as phases:
        from camserve.demo import run_demo

        result = run_demo(work, repository, phases)
    if as_json:
        document = asdict(result)
        document["right"] = document.pop("correct")
        print_json({**document, "repository": str(repository), "gallery": str(result.gallery)})
    else:
        _print_result(result, work)


def _print_result(result: DemoResult, work: Path) -> None:
    print_line("")
    print_line(f"Accuracy              {result.accuracy:.1%}: {result.correct} of {result.images} held-out digits")
    print_line(f"Agreement with Keras  same class for {result.same_class} of {result.images} digits,")
    print_line(f"                      probabilities differ by at most {result.largest_difference:.1e}")
    print_line(f"Speed                 {result.images_per_second:.0f} images per second, one at a time, with maps")
    print_line(f"Published             digits, version {result.version}, in {result.repository}")
    print_line(f"Gallery               {result.gallery}")
    print_line("")
    print_line("To serve the model and classify from another terminal:")
    print_line(f"  {_program()} serve --repository {shlex.quote(str(result.repository))}")
    images = f"{shlex.quote(str(work / 'held-out'))}/000*.png"
    print_line(f"  {_program()} classify {images} --model digits --cam-dir maps")


def _program() -> str:
    """Return how to call this program: by its name if that is on the PATH, else by its path."""
    return "camserve" if shutil.which("camserve") else os.path.relpath(sys.argv[0])
