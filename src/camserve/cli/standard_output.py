"""Standard output whose errors say that it cannot be written: results are printed from many places, and libraries."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from camserve.errors import CamserveError
from camserve.text import reason

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["name_standard_output_in_errors"]


def name_standard_output_in_errors() -> None:
    """Let writing to standard output raise a `CamserveError` that names it, such as when its disk is full.

    A pipe that nobody reads any more remains a `BrokenPipeError`.
    """
    stream = sys.stdout
    if stream is not sys.__stdout__ or not isinstance(stream, io.TextIOWrapper):  # a program that calls this one has it
        return
    stream.flush()
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(stream.fileno(), "wb", closefd=False)),
        stream.encoding,
        stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Descriptor(io.FileIO):
    """The descriptor of standard output."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write bytes.

        Raises:
            CamserveError: If they cannot be written.
        """
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            self._discard()
            raise CamserveError(
                f"standard output cannot be written: {reason(error)}",
                hint="Free space where it is written, or redirect it to another file",
            ) from None

    def _discard(self) -> None:
        """Discard what is written from now on: the interpreter would fail to write the rest when it exits."""
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self.fileno())
        os.close(nothing)
