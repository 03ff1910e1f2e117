"""What the command line prints: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass
from typing import Any

from camserve.text import printable

__all__ = [
    "Settings",
    "exit_code",
    "print_error",
    "print_json",
    "print_line",
    "print_logged_warnings",
    "print_note",
    "print_warning",
    "settings",
]

_DONE, _ALL_FAILED, _SOME_FAILED = 0, 1, 3


@dataclass
class Settings:
    """What one run of the program prints.

    Attributes:
        debug: Print the traceback of an error.
        quiet: Print no progress and no notes.
        json_printed: A JSON document was printed, so stdout must not get a second one.
    """

    debug: bool = False
    quiet: bool = False
    json_printed: bool = False


settings = Settings()
"""The settings of this run."""


def print_line(line: str) -> None:
    """Print a line of the result to stdout."""
    sys.stdout.write(f"{printable(line)}\n")
    sys.stdout.flush()


def print_note(line: str) -> None:
    """Print a line that is not part of the result to stderr, unless --quiet was given."""
    if not settings.quiet:
        _print_to_stderr(line)


def print_warning(message: str) -> None:
    """Print a warning to stderr; the further lines of a message of several lines are indented."""
    _print_message("warning", message)


def print_logged_warnings(logger: str, *, below: bool = True) -> None:
    """Print the warnings of a logger to stderr from now on.

    Args:
        logger: Its name.
        below: Whether to print those of the loggers below it, too.
    """
    found = logging.getLogger(logger)
    if not any(isinstance(handler, _WarningHandler) for handler in found.handlers):
        handler = _WarningHandler(logging.WARNING)
        handler.setFormatter(logging.Formatter("%(message)s"))
        if not below:
            handler.addFilter(lambda record: record.name == logger)
        found.addHandler(handler)


class _WarningHandler(logging.Handler):
    """Prints each record as a warning."""

    def emit(self, record: logging.LogRecord) -> None:
        print_warning(self.format(record))


def print_error(message: str, hint: str | None = None) -> None:
    """Print an error and its hint to stderr; the further lines of a message, such as the end of a log, are indented."""
    _print_message("error", message)
    if hint is not None:
        _print_to_stderr(f"hint: {hint}")


def print_json(value: Any) -> None:
    """Print a JSON document to stdout, in ASCII, so that any file name can be printed and read back."""
    settings.json_printed = True
    sys.stdout.write(json.dumps(value, indent=2) + "\n")
    sys.stdout.flush()


def exit_code(failed: int, total: int) -> int:
    """Return the exit code of work on many images: 0 if none failed, 1 if all failed, 3 if some did."""
    if not failed:
        return _DONE
    return _ALL_FAILED if failed == total else _SOME_FAILED


def _print_message(kind: str, message: str) -> None:
    for number, line in enumerate(message.splitlines() or [""]):
        _print_to_stderr(f"{kind}: {line}" if number == 0 else f"  {line}")


def _print_to_stderr(line: str) -> None:
    sys.stderr.write(f"{printable(line)}\n")
    sys.stderr.flush()
