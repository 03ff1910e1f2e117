"""Retries of a start that failed for a known reason."""

from __future__ import annotations

import logging
from collections.abc import Callable

from camserve.serving.server.startup import StartupCrashError

__all__ = ["start_with_retries"]

_log = logging.getLogger("camserve.serving")

_PORT_IN_USE = "already in use"
_PORT_RETRIES = 2
_LOCK_EXCEPTION = "boost::interprocess::lock_exception"
_LOCK_RETRIES = 1


def start_with_retries(start: Callable[[], None], *, fixed_ports: bool) -> None:
    """Start a server; again if another program took a port that was chosen, or if Triton crashed with a known bug.

    Args:
        start: Starts it.
        fixed_ports: Whether no port is chosen at the start.

    Raises:
        StartupCrashError: If it ends before it is ready for another reason, or too often.
    """
    port_retries = 0 if fixed_ports else _PORT_RETRIES
    lock_retries = _LOCK_RETRIES
    while True:
        try:
            start()
        except StartupCrashError as error:
            if lock_retries and _LOCK_EXCEPTION in error.log:
                lock_retries -= 1
                _log.warning(
                    "Triton crashed at startup with %s, a known bug (server issue 8882); starting it again",
                    _LOCK_EXCEPTION,
                )
            elif port_retries and _PORT_IN_USE in error.log:
                port_retries -= 1
            else:
                raise
        else:
            return
