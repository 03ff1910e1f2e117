"""Start Ray for a run, or connect to a cluster, and keep its messages from the terminal."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from camserve.errors import ClientError, ConnectionFailedError, UsageError
from camserve.extras import install_command
from camserve.text import printable, reason

__all__ = ["first_sentence", "import_ray", "ray_session"]

_STORE_BYTES = 256 * 1024 * 1024
"""Memory of the object store of a Ray that is started here: it holds names of images and rows."""

_CONNECT_SECONDS = 5.0

_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
_STARTS = 2
_DETAILS = re.compile(r" (?:Error:|To troubleshoot|Lease ID:)")

_LOGGERS = ("ray", "ray.data")


def import_ray() -> ModuleType:
    """Import Ray Data.

    Raises:
        UsageError: If it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its vendor
    try:
        import ray.data  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise UsageError(
            f"the engine ray requires Ray Data: {error}", hint=f"Install it: {install_command('ray')}"
        ) from None
    module: ModuleType = ray
    return module


@contextmanager
def ray_session(address: str | None, report: Callable[[str], None]) -> Iterator[ModuleType]:
    """Connect to the Ray cluster at an address, or start Ray on this host; it ends with the block.

    If the program has connected to Ray before, its connection is used, and remains; another address is reported.

    Args:
        address: The cluster; None for this host.
        report: Receives messages of Ray, such as a process that died, without those that repeat.

    Raises:
        UsageError: If Ray is not installed.
        ConnectionFailedError: If there is no cluster at the address.
        ClientError: If Ray does not start.
    """
    ray = import_ray()
    with _quiet(), _reported(report), _in_order(ray):
        if ray.is_initialized():
            connected = ray.get_runtime_context().gcs_address
            if address not in (None, "auto", connected):
                report(f"Ray is connected to {connected} already; {printable(address)} is not used")
            yield ray
            return
        if address is None:
            _start(ray)
        else:
            _connect(ray, address)
        try:
            yield ray
        finally:
            ray.shutdown()


def _start(ray: ModuleType) -> None:
    """Start Ray on this host, a second time if a busy host was too slow."""
    for attempt in range(_STARTS):
        try:
            with _signals_kept():
                ray.init("local", include_dashboard=False, object_store_memory=_STORE_BYTES, **_QUIET)
            return
        except Exception as error:  # noqa: BLE001  (Ray raises many kinds)
            ray.shutdown()
            if attempt == _STARTS - 1:
                why = first_sentence(str(error))
                raise ClientError(f"Ray does not start: {why}", hint="Score without it: --engine local") from None


def _connect(ray: ModuleType, address: str) -> None:
    _check_reachable(address)
    try:
        with _signals_kept():
            ray.init(address, **_QUIET)
    except Exception as error:  # noqa: BLE001  (Ray raises many kinds)
        raise ConnectionFailedError(
            f"the Ray cluster at {printable(address)} cannot be used: {first_sentence(str(error))}",
            hint="Check that it has the Ray and Python of this host; if it requires a token, set RAY_AUTH_MODE=token",
        ) from None


def _check_reachable(address: str) -> None:
    """Check that something listens at `HOST:PORT`, for which Ray itself waits for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():  # such as `auto`
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ConnectionFailedError(
            f"there is no Ray cluster at {printable(address)}: {reason(error)}",
            hint="Check the address, and start Ray there: ray start --head",
        ) from None


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep the handler of SIGTERM, which Ray replaces when it connects."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Ray's messages from the terminal; its errors are raised, and are in its log files."""
    before = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _reported(report: Callable[[str], None]) -> Iterator[None]:
    """Report what Ray prints about processes on its hosts, each kind of message once."""
    from ray._private import worker  # noqa: PLC0415  (there is no public way)

    known: set[str] = set()

    def note(data: dict[str, Any], *_: Any, **__: Any) -> None:
        for text in map(_without_details, data.get("lines", ())):
            if text not in known:
                known.add(text)
                report(f"Ray: {text}")

    before = getattr(worker, "print_to_stdstream", None)
    worker.print_to_stdstream = note
    try:
        yield
    finally:
        worker.print_to_stdstream = before


def first_sentence(text: str) -> str:
    """Return the first sentence of a message of Ray, in one line and without colors."""
    return _line(text).partition(". ")[0]


def _without_details(text: str) -> str:
    return _DETAILS.split(_line(text), 1)[0].removesuffix(".")


def _line(text: str) -> str:
    return printable(" ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split()))


@contextmanager
def _in_order(ray: ModuleType) -> Iterator[None]:
    """Let Ray Data return rows in order and draw no progress bars."""
    context = ray.data.DataContext.get_current()
    before = (context.execution_options.preserve_order, context.enable_progress_bars)
    context.execution_options.preserve_order, context.enable_progress_bars = True, False
    try:
        yield
    finally:
        context.execution_options.preserve_order, context.enable_progress_bars = before
