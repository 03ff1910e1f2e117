"""How errors are reported: a sentence and a hint on stderr, and as JSON on stdout where --json was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from camserve.cli.command_line_errors import CommandLineError, describe
from camserve.cli.console import print_error, print_json, settings
from camserve.errors import CamserveError, UsageError
from camserve.extras import install_command

__all__ = ["json_requested", "report_failure"]

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
"""The extra of our package that installs a module which the client library does not need."""


@dataclass(frozen=True)
class _Failure:
    """An error as it is printed."""

    type: str
    message: str
    hint: str | None
    exit_code: int


def report_failure(error: Exception, *, as_json: bool) -> int:
    """Print an error with its hint and return the exit code.

    Args:
        error: The error.
        as_json: Print it to stdout as JSON too, unless a result was already printed there.
    """
    failure = _failure(error)
    print_error(failure.message, failure.hint)
    if as_json and not settings.json_printed:
        print_json({"error": asdict(failure)})
    return failure.exit_code


def json_requested(arguments: Sequence[str]) -> bool:
    """Return whether the command line contains --json, even if the rest of it is invalid."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options


def _failure(error: Exception) -> _Failure:
    if isinstance(error, CamserveError):
        return _Failure(type(error).__name__, error.message, error.hint, error.exit_code)
    if isinstance(error, CommandLineError):
        return _Failure(UsageError.__name__, *describe(error), error.exit_code)
    if isinstance(error, ModuleNotFoundError) and (extra := _EXTRAS.get((error.name or "").partition(".")[0])):
        message = f"this command needs the package {error.name}, which is not installed"
        return _Failure(type(error).__name__, message, f"Run: {install_command(extra)}", 1)
    if isinstance(error, OSError) and error.strerror and error.filename:
        return _Failure(type(error).__name__, f"{error.filename}: {error.strerror}", None, 1)
    if isinstance(error, OSError):
        return _Failure(type(error).__name__, str(error), None, 1)
    message = f"unexpected {type(error).__name__}: {error}"
    return _Failure(type(error).__name__, message, "Add --debug to see the traceback", 1)
