"""Read lists of paths: one a line, or separated by NUL as `find -print0` writes them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from shutil import copyfileobj
from stat import S_ISREG
from tempfile import TemporaryFile
from typing import BinaryIO, TextIO

from camserve.errors import UsageError
from camserve.text import printable, reason

__all__ = ["STANDARD_INPUT", "PathList", "encoding_other_than_utf8"]

STANDARD_INPUT = "-"

_BLOCK = 64 * 1024
_LONGEST = 1024 * 1024
_PIPE_A_LIST = "Pipe one to it: find photos -type f -print0 | camserve score --files-from - --model NAME --output FILE"
_MARKS_OF_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class PathList:
    """A list of paths in a file or on standard input, which can be read any number of times.

    The list is opened when it is first read, and stays open. Standard input and pipes are copied to a temporary file
    then.

    Args:
        file: The file; `-` for standard input.

    Attributes:
        path: The file; None for standard input.
        name: What messages call it.
    """

    def __init__(self, file: str | Path) -> None:
        self._file = str(file)
        self.path = None if self._file == STANDARD_INPUT else self._file
        self.name = "standard input" if self._file == STANDARD_INPUT else printable(self._file)
        self._stream: BinaryIO | None = None

    def __iter__(self) -> Iterator[str]:
        """Yield the paths. Bytes that are not UTF-8 are kept as `os.fsdecode` keeps them; empty lines are skipped.

        Raises:
            UsageError: If the list cannot be read, is in UTF-16, or is not a list.
        """
        if self._stream is None:
            self._stream = self._opened()
        descriptor = self._stream.fileno()
        start = os.pread(descriptor, len(_BYTE_ORDER_MARK), 0)
        if encoding := encoding_other_than_utf8(start):
            raise UsageError(f"{self.name} is in {encoding}, not UTF-8", hint="Write the list as UTF-8")
        first = len(_BYTE_ORDER_MARK) if start == _BYTE_ORDER_MARK else 0
        separator = b"\0" if any(b"\0" in block for block in _blocks(descriptor, first)) else b"\n"
        for entry in self._entries(_blocks(descriptor, first), separator):
            path = entry if separator == b"\0" else entry.removesuffix(b"\r")
            if path:
                yield path.decode("utf-8", "surrogateescape")

    def _opened(self) -> BinaryIO:
        if self._file == STANDARD_INPUT:
            return _standard_input(sys.stdin)
        try:
            stream = open(self._file, "rb", buffering=0)  # noqa: PTH123, SIM115  (closed with the list)
            if S_ISREG(os.fstat(stream.fileno()).st_mode):
                return stream
            with stream:
                return _copied(stream)
        except OSError as error:
            raise UsageError(
                f"cannot read the list {self.name}: {reason(error, Path(self._file))}",
                hint="Check the path: --files-from FILE, or --files-from - for standard input",
            ) from None

    def _entries(self, blocks: Iterator[bytes], separator: bytes) -> Iterator[bytes]:
        rest = b""
        for block in blocks:
            *entries, rest = (rest + block).split(separator)
            yield from entries
            if len(rest) > _LONGEST:
                raise UsageError(
                    f"{self.name} is not a list of paths: a line has more than {_LONGEST:,} bytes",
                    hint="Write one path a line",
                )
        yield rest


def encoding_other_than_utf8(start: bytes) -> str | None:
    """Return the encoding that the first bytes of a text state, if it is not UTF-8."""
    return "UTF-16" if start.startswith(_MARKS_OF_UTF16) else None


@lru_cache(maxsize=1)
def _standard_input(stdin: TextIO | None) -> BinaryIO:
    """Copy standard input, which can be read once in a process, to a temporary file."""
    if stdin is None or stdin.isatty():
        raise UsageError("standard input is a terminal, not a list of paths", hint=_PIPE_A_LIST)
    return _copied(stdin.buffer)


def _copied(stream: BinaryIO) -> BinaryIO:
    copy = TemporaryFile()  # noqa: SIM115  (closed with the list)
    copyfileobj(stream, copy, _BLOCK)
    copy.flush()
    return copy


def _blocks(descriptor: int, position: int) -> Iterator[bytes]:
    read: Callable[[int, int, int], bytes] = os.pread
    while block := read(descriptor, _BLOCK, position):
        yield block
        position += len(block)
