"""Measure the CPU time of programs, which depends less on the load of the machine than their duration."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from statistics import median

__all__ = ["cpu_time_ratio"]

_ROUNDS = 5

Command = Sequence[str | Path]


def cpu_time_ratio(command: Command, baseline: Command) -> float:
    """Return how many times the CPU time of another command a command takes.

    Both run in turn. Each ratio is of two successive runs, which the load of the machine slows down alike, and the
    median leaves out those of which it slowed down only one.

    Raises:
        AssertionError: If a command fails.
    """
    return median(_ratio(command, baseline, first=bool(each % 2)) for each in range(_ROUNDS))


def _ratio(command: Command, baseline: Command, *, first: bool) -> float:
    if first:
        return _cpu_time(command) / _cpu_time(baseline)
    time = _cpu_time(baseline)
    return _cpu_time(command) / time


def _cpu_time(command: Command) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    program = subprocess.Popen([os.fspath(word) for word in command], stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(program.pid, 0)
    program.returncode = os.waitstatus_to_exitcode(status)
    assert program.returncode == 0, command
    return usage.ru_utime + usage.ru_stime
