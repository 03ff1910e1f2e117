"""The program: its commands, and how it ends.

Exit codes: 0 success; 1 failure; 2 wrong usage; 3 some images failed.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Annotated

import typer

from camserve import __version__
from camserve.cli.command_line_errors import CommandLineError
from camserve.cli.console import Settings, print_line, print_note, settings
from camserve.cli.error_report import json_requested, report_failure
from camserve.cli.help_layout import DEBUG_HELP, QUIET_HELP, Group
from camserve.cli.signals import Signaled, ending_signals, signals_as_exits
from camserve.cli.standard_output import name_standard_output_in_errors

__all__ = ["main"]

_COMMANDS = (
    "export",
    "publish",
    "repository",
    "serve",
    "classify",
    "score",
    "evaluate",
    "load",
    "tune",
    "view",
    "demo",
    "doctor",
)
"""The modules of the commands, in the order of the help. Each is imported only if its command, or the help, is needed:
the options of all commands take longer to declare than the rest of the program takes to start."""


def _print_version(requested: bool) -> None:
    if requested:
        print_line(f"camserve {__version__}")
        raise typer.Exit


def _common(
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help=QUIET_HELP)] = False,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    settings.debug, settings.quiet = debug, quiet


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the program.

    Args:
        arguments: The words after the program's name (default: those the program was started with).

    Raises:
        SystemExit: Always, with the exit code.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    vars(settings).update(vars(Settings()))
    _replace_closed_streams()
    name_standard_output_in_errors()
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # it prints a line for each connection that a server closes
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for terminals that lack a character
    warnings.filterwarnings("ignore", module=r"PIL\.")  # they name no file; what matters in them becomes an error
    try:
        with signals_as_exits(ending_signals(), second_interrupt=True):
            code = _program(_needed_commands(words))(args=words, prog_name="camserve", standalone_mode=False)
    except Signaled as exit_:
        print_note(exit_.description)
        raise
    except CommandLineError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # Typer does not export it
            error.show()
            sys.exit(error.exit_code)
        sys.exit(report_failure(error, as_json=json_requested(words)))
    except Exception as error:  # noqa: BLE001  whatever it is, it is reported in one line
        if settings.debug:
            import traceback

            traceback.print_exc()
        sys.exit(report_failure(error, as_json=json_requested(words)))
    sys.exit(code if isinstance(code, int) else 0)


def _needed_commands(words: Sequence[str]) -> Sequence[str]:
    """Return the command that the words call; without one, all commands, for the help and for suggestions."""
    first = next((word for word in words if not word.startswith("-")), None)
    return (first,) if first in _COMMANDS else _COMMANDS


def _program(commands: Iterable[str]) -> typer.Typer:
    """Return the program with some of its commands."""
    program = typer.Typer(
        name="camserve",
        cls=Group,
        help="Serve Keras image classifiers on Triton Inference Server, with a class activation map for each answer.",
        epilog="To see every step on bundled images, in two minutes:\n\nExample:  camserve demo",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    program.callback()(_common)
    for name in commands:
        import_module(f"camserve.cli.{name}").register(program)
    return program


def _replace_closed_streams() -> None:
    """Open the null device for each standard stream that is closed: no other file must get its descriptor."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
            setattr(sys, name, os.fdopen(descriptor, mode))
