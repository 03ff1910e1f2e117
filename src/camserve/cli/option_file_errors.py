"""Errors of serving options that come from a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from camserve.errors import UsageError
from camserve.serving.config.backends import default_backend
from camserve.serving.config.named_options import DEFAULTS, make_options, overlay
from camserve.serving.config.option_file import OptionFile, read_option_file
from camserve.text import printable

__all__ = ["naming_file"]


@contextmanager
def naming_file(path: Path | None) -> Iterator[None]:
    """Name the file in the error of options that contradict each other if its own options do so.

    Args:
        path: The file of serving options; None if there is none.
    """
    try:
        yield
    except UsageError as error:
        if path is None or error.message != _contradiction(read_option_file(path)):
            raise
        raise UsageError(f"{printable(path)}: {error.message}", hint=error.hint) from None


def _contradiction(file: OptionFile) -> str | None:
    """Return the error of a file's options for a new model, without any other options; None if they are valid."""
    # Imported only here, since it loads pydantic, which help does not need.
    from camserve.serving.config.suitability import check_suitable, for_backend

    backend = file.backend or default_backend("fp32")
    options = for_backend(backend, DEFAULTS, file.options)
    try:
        make_options(options)
        check_suitable(overlay(DEFAULTS, options), backend=backend, precision="fp32")
    except UsageError as error:
        return error.message
    return None
