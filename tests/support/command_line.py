"""Run the real command line, as a shell does, or call it in this process."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest import mock

from camserve.cli import main

__all__ = ["PROGRAM", "UNIT", "call", "run", "started"]

PROGRAM = str(Path(sys.executable).with_name("camserve"))
"""The installed program."""

UNIT = ("--preprocess", "unit", "--resize", "nearest")
"""Options of `camserve export` for a file: x / 255 after Keras's `load_img`."""


def run(
    *arguments: str | Path,
    seconds: float = 120.0,
    stdin: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `camserve` with these arguments and return its exit code, stdout and stderr.

    Args:
        arguments: The words of the command line.
        seconds: Time limit.
        stdin: File for standard input (default: empty).
        environment: Further environment variables; the width of a terminal is not passed on.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    with Path(os.devnull if stdin is None else stdin).open("rb") as piped:
        return subprocess.run(
            [PROGRAM, *(os.fspath(argument) for argument in arguments)],
            stdin=piped,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=seconds,
            check=False,
            env={**inherited, **(environment or {})},
        )


def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Call the command line in this process, half a second faster than `run`, with the same result.

    Args:
        arguments: The words of the command line; the width of a terminal is not passed on.
    """
    words = [os.fspath(argument) for argument in arguments]
    out, errors = io.StringIO(), io.StringIO()
    with mock.patch.dict(os.environ), contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        os.environ.pop("COLUMNS", None)
        try:
            main(words)
        except SystemExit as end:
            return subprocess.CompletedProcess(words, int(end.code or 0), out.getvalue(), errors.getvalue())
    raise AssertionError("the command line returned instead of ending")


@contextlib.contextmanager
def started(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Start the program, and kill it if a test leaves it running."""
    with subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
