"""Errors by which Typer rejects a command line, as sentences in the style of our own."""

from __future__ import annotations

import re
from typing import Any

import typer

from camserve.text import printable, suggest

__all__ = ["CommandLineError", "describe"]

CommandLineError: Any = typer.BadParameter.__mro__[2]
"""The base class of the errors by which Typer rejects a command line; it is Click's in some releases of Typer."""

_EXPECTED = {
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "int_parsing": "an integer",
    "float_parsing": "a number",
}
"""By the type of an error of Pydantic, with which newer releases of Typer check values, what was expected."""

_EXTRA_ARGUMENTS = re.compile(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)")


def describe(error: Any) -> tuple[str, str | None]:
    """Return the message and the hint of a `CommandLineError`."""
    context = getattr(error, "ctx", None)
    run_help = f"Run: {context.command_path} --help" if context else None
    if (message := _invalid_value(error)) is not None:
        return message, run_help
    if (name := getattr(error, "option_name", None)) and hasattr(error, "possibilities"):
        return f"no such option {printable(name)!r}", suggest(name, error.possibilities or ()) or run_help
    message, question, suggestion = error.format_message().partition("Did you mean")
    message = message.strip().rstrip(".")
    if extra := _EXTRA_ARGUMENTS.fullmatch(message):
        return f"unexpected argument: {extra[1]}", run_help
    return message[:1].lower() + message[1:], f"{question}{suggestion}" if question else run_help


def _invalid_value(error: Any) -> str | None:
    """Return the message for a value that is not a number, or out of range; None for other errors."""
    details: list[Any] = getattr(error.__cause__, "errors", list)()
    param = getattr(error, "param", None)
    if param is None or not details or details[0].get("type") not in _EXPECTED:
        return None
    limits = {name: int(limit) for name, limit in details[0].get("ctx", {}).items() if name in ("ge", "le")}
    expected = _EXPECTED[details[0]["type"]].format(**limits)
    return f"{max(param.opts, key=len)} must be {expected}, got {printable(str(details[0]['input']))}"
