"""Signals as exceptions, where Python ignores exceptions."""

from __future__ import annotations

import signal
import sys
import threading
import weakref
from collections.abc import Callable

import pytest

from camserve.cli.signals import Signaled, signals_as_exits


class _Referent:
    """An object that weak references can refer to."""


def _call_where_exceptions_are_ignored(function: Callable[[], None]) -> None:
    referent = _Referent()
    reference = weakref.ref(referent, lambda _: function())
    del referent
    assert reference() is None


def _receive_sigterm_and_wait() -> None:
    _call_where_exceptions_are_ignored(lambda: signal.raise_signal(signal.SIGTERM))
    threading.Event().wait(60)


@pytest.mark.parametrize("second_interrupt", [True, False])
def test_a_signal_in_the_callback_of_a_weak_reference_is_raised_after_it(second_interrupt: bool) -> None:
    hook = sys.unraisablehook
    signals = signals_as_exits((signal.SIGINT, signal.SIGTERM), second_interrupt=second_interrupt)
    with pytest.raises(Signaled) as raised, signals:
        _receive_sigterm_and_wait()
    assert (raised.value.signal, raised.value.code) == (signal.SIGTERM, 143)
    assert sys.unraisablehook is hook


def test_other_ignored_exceptions_are_reported_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise IndexError

    ignored: list[BaseException | None] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda arguments: ignored.append(arguments.exc_value))
    with signals_as_exits((signal.SIGTERM,), second_interrupt=True):
        _call_where_exceptions_are_ignored(fail)
    assert isinstance(ignored[0], IndexError)
