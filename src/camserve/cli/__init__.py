"""The command line: the roof that names export, serving and clients, and loads each only when it is called for.

Exit codes: 0 done; 1 the work failed; 2 wrong usage; 3 done in part.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Annotated

import typer

from camserve import __version__
from camserve.cli import classify, demo, export, publish, repository, score, serve
from camserve.cli.console import fail, note, say
from camserve.errors import CamserveError

__all__ = ["app", "main"]

_KILLED = 128  # a shell's exit code for a program that a signal ended is this plus the signal
_SAID = {
    getattr(signal, name): said
    for name, said in {"SIGINT": "Interrupted", "SIGTERM": "Terminated", "SIGHUP": "Hung up"}.items()
    if hasattr(signal, name)  # Windows has no SIGHUP
}

app = typer.Typer(
    name="camserve",
    help="Keras image classifiers on Triton Inference Server, each answer with its class activation map.",
    epilog="The whole way on bundled images, in two minutes:  camserve demo",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for module in (export, publish, repository, serve, classify, score, demo):
    module.register(app)


@dataclass
class _Settings:
    debug: bool = False


_EXTRAS = {
    "keras": "export",
    "matplotlib": "plot",
    "onnx": "export",
    "onnxruntime": "export",
    "pyarrow": "parquet",
    "sklearn": "demo",
    "tensorflow": "export",
    "tf2onnx": "export",
}
"""The extra of our package that brings a module which the client library does without."""


def explain(error: Exception) -> None:
    """Says on stderr what failed and what to do about it."""
    if isinstance(error, CamserveError):
        fail(error.message, error.hint)
    elif isinstance(error, ModuleNotFoundError) and (extra := _EXTRAS.get((error.name or "").partition(".")[0])):
        fail(f"this needs {error.name}, which is not installed", f"Install it: pip install 'camserve[{extra}]'")
    elif isinstance(error, OSError):
        fail(str(error))
    else:
        fail(f"unexpected {type(error).__name__}: {error}", "Run it as 'camserve --debug …' for the traceback")


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"camserve {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    context.ensure_object(_Settings).debug = debug


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and ends the program.

    Args:
        arguments: The words after the program's name; those it was started with unless given.

    Raises:
        SystemExit: Always, with the exit code.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter must not end the program
    warnings.filterwarnings("ignore", module=r"PIL\.")  # which name no file; what matters of it becomes an error
    settings = _Settings()
    try:
        with _signals_as_exits():
            app(args=arguments, prog_name="camserve", obj=settings)
    except _Signalled as error:
        note(_SAID[error.signal])
        sys.exit(error.code)
    except Exception as error:  # noqa: BLE001  the last line of defence: whatever it is, it gets a line
        if settings.debug:
            traceback.print_exc()
        explain(error)
        sys.exit(error.exit_code if isinstance(error, CamserveError) else 1)


class _Signalled(SystemExit):
    """A signal asks the program to end; an exit, so that whatever is open on the way out is closed and removed."""

    def __init__(self, number: int) -> None:
        super().__init__(_KILLED + number)
        self.signal = signal.Signals(number)


@contextmanager
def _signals_as_exits() -> Iterator[None]:
    """Makes the first signal to end an exit; a second one of SIGINT cuts even the way out short.

    A signal that is ignored stays so: nohup asks for that.
    """

    def leave(number: int, _frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_IGN)
        raise _Signalled(number)

    handled = [number for number in _SAID if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, leave) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
