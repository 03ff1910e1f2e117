"""`camserve demo`: the whole way, on bundled handwritten digits."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from camserve.cli.console import Phases, print_json, say
from camserve.cli.options import Json

if TYPE_CHECKING:
    from camserve.demo import DemoResult

__all__ = ["register"]

_EPILOG = "Example:  camserve demo --work /tmp/digits"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=_EPILOG)(demo)


def demo(
    work: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the digits, the bundle and the gallery.", file_okay=False)
    ] = Path("demo"),
    repository: Annotated[
        Path, typer.Option(metavar="DIR", help="Model repository to publish into.", file_okay=False)
    ] = Path("model_repository"),
    as_json: Json = False,
) -> None:
    """Go the whole way on handwritten digits. Train, export, publish, serve, classify over gRPC, and draw the maps."""
    with Phases() as phases:
        from camserve.demo import run_demo

        result = run_demo(work, repository, phases)
    if as_json:
        return print_json({**asdict(result), "repository": str(repository), "gallery": str(result.gallery)})
    return _tell(result, work)


def _tell(result: DemoResult, work: Path) -> None:
    say("")
    say(f"Named rightly       {result.right} of {result.images} held-out digits ({result.accuracy:.1%})")
    say(f"Same as Keras       {result.same_class} of {result.images} classes")
    say(f"                    probabilities differ by {result.largest_difference:.1e} at most")
    say(f"Speed               {result.images_per_second:.0f} images a second, one by one, each with its maps")
    say(f"Published           digits, version {result.version}, in {result.repository}")
    say(f"Gallery             {result.gallery}")
    say("")
    say("Keep it running, and ask it from another terminal:")
    say(f"  {_program()} serve --repository {result.repository}")
    say(f"  {_program()} classify {work / 'held-out'}/000*.png --model digits --cam-dir maps")


def _program() -> str:
    """How the reader can call this program: by its name if that is on the path, else by where it stands."""
    return "camserve" if shutil.which("camserve") else os.path.relpath(sys.argv[0])
