"""Options that several commands share, and checks of their values before long work begins."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

__all__ = ["Command", "Json", "Repository", "check_choice"]

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Repository = Annotated[Path, typer.Option("--repository", metavar="DIR", help="Folder of the model repository.")]

_EXAMPLE = "Example:  "


class Command(TyperCommand):
    """A command whose help names its arguments as they are typed: IMAGE..., not `{IMAGE}...` of `<list[Path]>`.

    Its examples can be pasted into a shell, however narrow the terminal is.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for param in self.params:
            if param.param_type_name == "argument":
                # Typer has no setting for it, and shows the Python type beside a metavar too.
                vars(param)["display_type_rich"] = lambda ctx: None  # noqa: ARG005  (the name that Typer calls it by)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the usage line."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Writes what stands below the options."""
        for paragraph in filter(None, (self.epilog or "").strip().split("\n\n")):
            formatter.write_paragraph()
            with formatter.indentation():
                if paragraph.startswith(_EXAMPLE):
                    formatter.write(_example(paragraph, formatter.width))
                else:
                    formatter.write_text(paragraph)


def _example(paragraph: str, width: int) -> str:
    """An example in lines, broken before options alone; a backslash says that a line goes on."""
    command, *options = " ".join(paragraph.removeprefix(_EXAMPLE).split()).split(" --")
    lines = [f"  {_EXAMPLE}{command}"]
    for option in options:
        if len(f"{lines[-1]} --{option} \\") <= width:
            lines[-1] += f" --{option}"
        else:
            lines.append(f"  {' ' * len(_EXAMPLE)}--{option}")
    return " \\\n".join(lines) + "\n"


def check_choice(value: str | None, choices: Collection[str], option: str) -> None:
    """Refuses a value that is none of the choices.

    Raises:
        typer.BadParameter: It ends the program as wrong usage, exit code 2.
    """
    if value is not None and value not in choices:
        raise typer.BadParameter(f"{value!r} is none of {', '.join(choices)}", param_hint=option)
