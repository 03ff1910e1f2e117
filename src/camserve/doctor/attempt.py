"""Run a program that may fail, crash or never end, such as one that loads a driver."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Attempt", "attempt", "attempt_python"]

_SECONDS = 120.0
_QUIET = {"ORT_DISABLE_TELEMETRY": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


@dataclass(frozen=True)
class Attempt:
    """How a program ended.

    Attributes:
        output: What it printed to stdout.
        problem: Why it failed; None if it ended with exit code 0.
    """

    output: str
    problem: str | None


def attempt(command: Sequence[str], *, seconds: float = _SECONDS) -> Attempt:
    """Run a program, and kill it if it takes longer than a time limit in seconds."""
    # Files instead of pipes: the end of a killed program that hangs in a driver is not waited for.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env={**os.environ, **_QUIET}
            )
        except OSError as error:
            return Attempt("", error.strerror or str(error))
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return Attempt("", f"it did not end within {seconds:g} s")
        finally:
            if process.returncode is None:
                process.kill()
        printed, log = (_content(file) for file in (output, errors))
        return Attempt(printed, _problem(code, printed, log))


def attempt_python(module: str, *arguments: str) -> tuple[dict[str, Any], str | None]:
    """Run `main` of a module of this package in a new interpreter with the same import path.

    Args:
        module: Name of the module, whose `main` prints a JSON object in its last line.
        arguments: Its arguments.

    Returns:
        The object, which is empty if it failed, and why it failed or None.
    """
    code = f"import sys; sys.path[:] = {sys.path!r}; from camserve.doctor.{module} import main; main()"
    ended = attempt([sys.executable, "-c", code, *arguments])
    if ended.problem is not None:
        return {}, ended.problem
    found: dict[str, Any] = json.loads(ended.output.splitlines()[-1])
    return found, None


def _content(file: Any) -> str:
    file.seek(0)
    text: str = file.read().decode(errors="replace")
    return text


def _problem(code: int, output: str, log: str) -> str | None:
    if code == 0:
        return None
    if code < 0:
        return f"it ended by signal {signal.Signals(-code).name}"
    lines = (log.strip() or output.strip()).splitlines()
    return lines[-1].strip() if lines else f"it ended with exit code {code}"
