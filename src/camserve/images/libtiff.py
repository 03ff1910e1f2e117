"""Collect the errors that libtiff, Pillow's decoder of compressed TIFF files, writes to standard error by default.

It writes them without the name of the file, and decodes some damaged files, such as faxes, in spite of them.
"""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import _imaging

__all__ = ["collect_errors"]

_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
"""`TIFFErrorHandler`: the module that reports, a format for printf, and its arguments (`va_list`)."""

_BEFORE_ARGUMENT = re.compile(r"[:, ]*( at( \w+)?)?[:, ]*$")
_FILE_NAME = "tempfile.tif"
"""What Pillow tells libtiff as the name of every file."""

_of_thread = threading.local()


@contextmanager
def collect_errors() -> Iterator[list[str]]:
    """Collect the errors of the files that this thread decodes meanwhile; other threads are not affected.

    Where Pillow does not export libtiff's functions, the list remains empty and libtiff writes to standard error.
    """
    errors: list[str] = []
    _of_thread.errors = errors
    try:
        yield errors
    finally:
        _of_thread.errors = None


def _install() -> tuple[Any, ...]:
    """Install the handler of the process, which outside `collect_errors` calls the one before it."""
    try:
        set_handler = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler  # found in the libraries of this module
    except (OSError, AttributeError):
        return ()
    set_handler.restype, set_handler.argtypes = ctypes.c_void_p, [_HANDLER]
    previous: list[Any] = []

    def report(module: bytes | None, text: bytes | None, arguments: int | None) -> None:
        errors = getattr(_of_thread, "errors", None)
        if errors is not None:
            errors.append(_readable(module, text))
        elif previous:
            previous[0](module, text, arguments)

    handler = _HANDLER(report)
    address = set_handler(handler)
    previous.extend([_HANDLER(address)] if address else [])
    return (handler, previous)


def _readable(module: bytes | None, text: bytes | None) -> str:
    """Return the text up to its first argument: reading a `va_list` depends on the platform."""
    reason = (text or b"").partition(b"%")[0].decode(errors="replace")
    reason = _BEFORE_ARGUMENT.sub("", reason)
    name = (module or b"").decode(errors="replace")
    return reason if name in ("", _FILE_NAME) else f"{name}: {reason}"


_INSTALLED = _install()
"""What libtiff may call at any time, and must therefore stay alive."""
