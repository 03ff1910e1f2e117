"""How the help of commands and groups of commands is laid out."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from camserve.cli.console import settings
from camserve.errors import UsageError
from camserve.text import printable

__all__ = ["DEBUG_HELP", "QUIET_HELP", "Command", "CommandWithUrls", "Group", "check_local"]

QUIET_HELP = "Print no progress and no notes, only results, warnings and errors."
DEBUG_HELP = "Print the traceback of an error."

_EXAMPLE = "Example:  "
_ARGUMENTS = "Arguments"
_OPTIONS = "Options"
_ADJACENT_BRACKETS = re.compile(r"\]\s+\[")
"""Between a default that a help text states and the range that Typer adds."""


class _Examples:
    """Examples in an epilog, which can be pasted into a shell at any width."""

    epilog: str | None

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write the examples below the options."""
        for paragraph in filter(None, (self.epilog or "").strip().split("\n\n")):
            formatter.write_paragraph()
            with formatter.indentation():
                if paragraph.startswith(_EXAMPLE):
                    formatter.write(_example(paragraph, formatter.width))
                else:
                    formatter.write_text(paragraph)


class Command(_Examples, TyperCommand):
    """A command of camserve.

    Its help shows options under the headings that they name by `rich_help_panel`, which Typer does only with Rich, and
    arguments as they are typed: IMAGE..., not `{IMAGE}...` of `<list[Path]>`. Each command accepts --quiet and --debug,
    as the program itself does.

    Attributes:
        arguments_may_be_urls: Whether its arguments may be URLs.
    """

    arguments_may_be_urls = False

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.params += _program_params()
        for param in self.params:
            if param.param_type_name == "argument":
                # Typer has no setting for it, and shows the Python type beside a metavar too.
                vars(param)["display_type_rich"] = lambda ctx: None  # noqa: ARG005  (the name that Typer calls it by)

    def invoke(self, ctx: Any) -> Any:
        """Run the command, unless a URL was given where a local path is required."""
        for param in self.params:
            if not (self.arguments_may_be_urls and param.param_type_name == "argument"):
                _check_local(param, ctx.params.get(param.name))
        return super().invoke(ctx)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options."""
        sections: dict[str, list[tuple[str, str]]] = {_ARGUMENTS: []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                term, meaning = record
                sections.setdefault(_heading(param), []).append((term, _ADJACENT_BRACKETS.sub("; ", meaning)))
        sections.update((heading, list(rows)) for heading, rows in self.more_help())
        for heading, rows in filter(itemgetter(1), sections.items()):
            with formatter.section(heading):
                formatter.write_dl(rows)

    def more_help(self) -> Sequence[tuple[str, Sequence[tuple[str, str]]]]:
        """Return further headings, each with terms and their meanings."""
        return ()


class CommandWithUrls(Command):
    """A command whose arguments may be URLs."""

    arguments_may_be_urls = True


class Group(_Examples, TyperGroup):
    """A group of commands whose help shows the first line of each command in full."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each command with what it does."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, (command.help or "").partition("\n")[0]) for name, command in commands if command]
            )


def _set(_context: typer.Context, param: typer.CallbackParam, value: bool) -> None:
    if value:
        setattr(settings, str(param.name), True)


def _program_options(
    quiet: Annotated[bool, typer.Option("--quiet", help=QUIET_HELP, callback=_set, expose_value=False)] = False,
    debug: Annotated[bool, typer.Option("--debug", hidden=True, callback=_set, expose_value=False)] = False,
) -> None:
    """Declare the options of the program that are also accepted after a command."""


@cache
def _program_params() -> list[Any]:
    carrier = typer.Typer(add_completion=False)
    carrier.command()(_program_options)
    return get_command(carrier).params


def _check_local(param: Any, value: Any) -> None:
    """Check that the value of a parameter contains no URL if it is a path; see `check_local`."""
    for each in value if isinstance(value, list | tuple) else [value]:
        if isinstance(each, Path) or (isinstance(each, str) and param.param_type_name == "argument"):
            check_local(each, param.metavar if param.param_type_name == "argument" else max(param.opts, key=len))


def check_local(path: str | Path, name: str) -> None:
    """Check that a path is not a URL, of which `Path` makes https:/example.org.

    Args:
        path: The path.
        name: The option, or what the help calls the argument.

    Raises:
        UsageError: If it is.
    """
    scheme, separator, rest = str(path).partition(":/")
    if separator and scheme.isalpha() and len(scheme) > 1 and not os.path.exists(path):  # noqa: PTH110
        url = f"{scheme}://{rest.lstrip('/')}"
        raise UsageError(
            f"{name} must be a local path, got the URL {printable(url)}",
            hint=f"Download it first: curl -LO {shlex.quote(printable(url))}",
        )


def _heading(param: Any) -> str:
    if param.param_type_name == "argument":
        return _ARGUMENTS
    return getattr(param, "rich_help_panel", None) or _OPTIONS


def _example(paragraph: str, width: int) -> str:
    """Return an example in lines that end in a backslash, broken only before options and pipes."""
    command, *parts = re.split(r" (?=--|\| )", " ".join(paragraph.removeprefix(_EXAMPLE).split()))
    lines = [f"  {_EXAMPLE}{command}"]
    for part in parts:
        if len(f"{lines[-1]} {part} \\") <= width:
            lines[-1] += f" {part}"
        else:
            lines.append(f"  {' ' * len(_EXAMPLE)}{part}")
    return " \\\n".join(lines) + "\n"
