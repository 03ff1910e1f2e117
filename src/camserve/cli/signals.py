"""Signals that end the program, as exits that close files and connections on the way out."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["SIGNAL_EXIT_CODE", "Signaled", "ending_signals", "signals_as_exits"]

SIGNAL_EXIT_CODE = 128
"""A shell's exit code for a program that a signal ended is this plus the number of the signal."""

_DESCRIPTIONS = {
    getattr(signal, name): description
    for name, description in {"SIGINT": "Interrupted", "SIGTERM": "Terminated", "SIGHUP": "Hung up"}.items()
    if hasattr(signal, name)  # Windows has no SIGHUP
}


class Signaled(SystemExit):
    """The first signal to end the program.

    A `SystemExit`, so that no handler of `Exception` mistakes it for a failure.

    Attributes:
        signal: The signal.
        description: The signal in a word or two, such as `Interrupted`.
    """

    def __init__(self, number: int) -> None:
        super().__init__(SIGNAL_EXIT_CODE + number)
        self.signal = signal.Signals(number)
        self.description = _DESCRIPTIONS[number]


def ending_signals() -> tuple[int, ...]:
    """Return the signals that end the program here: those that are not ignored, as SIGHUP is under nohup."""
    return tuple(number for number in _DESCRIPTIONS if signal.getsignal(number) not in (signal.SIG_IGN, None))


@contextmanager
def signals_as_exits(numbers: tuple[int, ...], *, second_interrupt: bool) -> Iterator[None]:
    """Raise `Signaled` at the first of these signals, and ignore the others from then on.

    Args:
        numbers: The signals, of SIGINT, SIGTERM and SIGHUP.
        second_interrupt: Whether a second SIGINT raises `KeyboardInterrupt`, which cuts even the cleanup short.
    """

    def leave(number: int, _frame: FrameType | None) -> None:
        for each in previous:
            interrupts = second_interrupt and each == signal.SIGINT
            signal.signal(each, signal.default_int_handler if interrupts else signal.SIG_IGN)
        raise Signaled(number)

    previous = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
