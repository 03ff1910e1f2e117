"""`camserve demo`: the whole way, on bundled handwritten digits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from camserve.cli.console import Phases

__all__ = ["register"]

_EPILOG = "Example:  camserve demo --work /tmp/digits"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=_EPILOG)(demo)


def demo(
    work: Annotated[Path, typer.Option(help="Folder for the digits, the bundle and the gallery.")] = Path("demo"),
) -> None:
    """Go the whole way on handwritten digits. Train, export, publish, serve, classify over gRPC, and draw the maps."""
    from camserve.demo import run_demo

    with Phases() as phases:
        run_demo(work, phases)
