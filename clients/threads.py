"""What happens when no thread can be started: an error that says so, and not the end of the process by gRPC."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from camserve.errors import ClientError

__all__ = ["check_threads_of_grpc", "no_thread", "starting_threads"]

_REFUSED = ("can't start new thread", "can't create new thread")
"""Messages of Python, also at the end of the interpreter."""

_FEWEST, _MOST, _FURTHER = 4, 16, 4
"""gRPC starts a thread for each processor, within these limits, and a few further ones."""


@contextmanager
def starting_threads() -> Iterator[None]:
    """Raise the failure to start a thread in the block as a `ClientError`.

    Raises:
        ClientError: If the system refuses another thread.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith(_REFUSED):
            raise
        raise no_thread(str(error)) from None


def no_thread(why: str) -> ClientError:
    """Return the error for a thread that this process cannot start."""
    return ClientError(
        f"no thread can be started: {why}",
        hint="Lower concurrency, or raise the limit of threads (ulimit -u, or the pids limit of the container)",
    )


def check_threads_of_grpc() -> None:
    """Check, before the first connection of this process, that gRPC can start its threads: it would abort the process.

    Raises:
        ClientError: If the system refuses so many threads.
    """
    _check_threads(os.getpid())


@lru_cache(maxsize=1)
def _check_threads(_: int) -> None:
    release = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(min(max(os.cpu_count() or 1, _FEWEST), _MOST) + _FURTHER):
            thread = threading.Thread(target=release.wait, name="camserve-check", daemon=True)
            with starting_threads():
                thread.start()
            started.append(thread)
    finally:
        release.set()
        for thread in started:
            thread.join()
