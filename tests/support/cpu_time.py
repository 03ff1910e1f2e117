"""Measure the CPU time of a program, which depends less on the load of the machine than its duration."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

__all__ = ["least_cpu_times"]

_ROUNDS = 5


def least_cpu_times(*commands: Sequence[str | Path]) -> list[float]:
    """Run commands in turn, several times, and return the least CPU time of each in seconds.

    Taking turns exposes all commands to the same load.

    Raises:
        AssertionError: If a command fails.
    """
    rounds = [[_cpu_time(command) for command in commands] for _ in range(_ROUNDS)]
    return [min(times) for times in zip(*rounds, strict=True)]


def _cpu_time(command: Sequence[str | Path]) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    program = subprocess.Popen([os.fspath(word) for word in command], stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(program.pid, 0)
    program.returncode = os.waitstatus_to_exitcode(status)
    assert program.returncode == 0, command
    return usage.ru_utime + usage.ru_stime
