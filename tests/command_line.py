"""Runs the real command line, as a user's shell would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["PROGRAM", "run"]

PROGRAM = str(Path(sys.executable).with_name("camserve"))
"""The installed program."""


def run(*arguments: str | Path, seconds: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Runs `camserve` with these arguments and returns its exit code, stdout and stderr."""
    return subprocess.run(
        [PROGRAM, *(os.fspath(argument) for argument in arguments)],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=seconds,
        check=False,
    )
