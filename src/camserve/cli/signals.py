"""Signals that end the program, as exits that close files and connections on the way out."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["SIGNAL_EXIT_CODE", "Signaled", "ending_signals", "signals_as_exits"]

SIGNAL_EXIT_CODE = 128
"""A shell's exit code for a program that a signal ended is this plus the number of the signal."""

_RAISED_AGAIN_AFTER = 0.01  # seconds, by when the code that ignored it has returned

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

    Where Python ignores exceptions, as in the callback of a weak reference that an import runs, it is raised again,
    a moment later.

    Args:
        numbers: The signals, of SIGINT, SIGTERM and SIGHUP.
        second_interrupt: Whether a second SIGINT raises `KeyboardInterrupt`, which cuts even the cleanup short.
    """

    def leave(number: int, _frame: FrameType | None) -> None:
        for each in previous:
            interrupts = second_interrupt and each == signal.SIGINT
            signal.signal(each, signal.default_int_handler if interrupts else signal.SIG_IGN)
        raise Signaled(number)

    def raise_again(ignored: sys.UnraisableHookArgs) -> None:
        if not isinstance(ignored.exc_value, Signaled):
            previous_hook(ignored)
            return
        for each in previous:
            signal.signal(each, leave)
        timer = threading.Timer(_RAISED_AGAIN_AFTER, _send_to_main_thread, [ignored.exc_value.signal])
        timer.daemon = True
        timer.start()

    previous = {number: signal.signal(number, leave) for number in numbers}
    previous_hook, sys.unraisablehook = sys.unraisablehook, raise_again
    try:
        yield
    finally:
        sys.unraisablehook = previous_hook
        for number, handler in previous.items():
            signal.signal(number, handler)


def _send_to_main_thread(number: signal.Signals) -> None:
    identifier = threading.main_thread().ident
    if identifier is not None and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(identifier, number)  # interrupts a wait as well
    else:
        _thread.interrupt_main(number)  # Windows
