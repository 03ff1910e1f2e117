"""Options that several commands share, and checks of their values before long work begins."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Json", "Model", "Repository", "Url", "check_choice"]

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Model = Annotated[str, typer.Option("--model", help="Name of the served model.")]
Repository = Annotated[Path, typer.Option("--repository", help="Folder of the model repository.")]
Url = Annotated[str, typer.Option("--url", metavar="HOST:PORT", help="gRPC address of the server.")]


def check_choice(value: str | None, choices: Collection[str], option: str) -> None:
    """Refuses a value that is none of the choices.

    Raises:
        typer.BadParameter: It ends the program as wrong usage, exit code 2.
    """
    if value is not None and value not in choices:
        raise typer.BadParameter(f"{value!r} is none of {', '.join(choices)}", param_hint=option)
