"""Where the rows of a record are in its file: 16 bytes of memory for each, whatever it contains."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from camserve.clients.scoring.record_lines import KEY, REPLACES_END, is_complete

__all__ = ["RecordIndex"]

Array = np.ndarray[Any, Any]
_NONE = np.empty(0, np.uint64)


class RecordIndex:
    """The offsets of the rows of a record, by their keys.

    Attributes:
        rows: Number of images with a row.
        damaged: Number of lines that are not as they were written.
        torn: Number of bytes of an incomplete last line.
        end: Offset of the end of the last complete line.
    """

    def __init__(self) -> None:
        self.rows = self.damaged = self.torn = self.end = 0
        self._keys: Array = _NONE
        self._offsets: Array = _NONE

    def read(self, stream: BinaryIO, end: int) -> None:
        """Read the lines of a record.

        Args:
            stream: The file, after its first line, which starts at offset 0.
            end: Offset of the end of the file.
        """
        keys, offsets, replaced = array("Q"), array("Q"), 0
        offset = stream.tell()
        for line in stream:
            if not line.endswith(b"\n"):
                self.torn = end - offset
                break
            if is_complete(line):
                keys.append(int(line[KEY], 16))
                offsets.append(offset)
                replaced += line.endswith(REPLACES_END)
            else:
                self.damaged += 1
            offset += len(line)
        self.end, self.rows = offset, len(keys) - replaced
        found = np.frombuffer(keys, np.uint64)
        order = np.argsort(found, kind="stable")
        self._keys, self._offsets = found[order], np.frombuffer(offsets, np.uint64)[order]

    def offsets(self, key: int) -> Iterator[int]:
        """Yield the offsets of the rows of a key, the last one first."""
        wanted = np.uint64(key)
        first, after = np.searchsorted(self._keys, wanted), np.searchsorted(self._keys, wanted, "right")
        for place in range(int(after) - 1, int(first) - 1, -1):
            yield int(self._offsets[place])
