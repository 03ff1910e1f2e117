"""What a coordinator and its worker processes send each other over pipes: frames of bytes with their length.

To a worker: a pickled `Setup`, then a frame for each chunk: its number, and its pickled items. From a worker: one of
the other messages, pickled.
"""

from __future__ import annotations

import pickle
import signal
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from camserve.clients.answers.served_model import Model
from camserve.clients.scoring.answerer import AnswererOptions
from camserve.clients.scoring.items import Item
from camserve.clients.scoring.row_options import RowOptions
from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.scoring.stage_times import StageTimes
from camserve.errors import UsageError

__all__ = [
    "IGNORED_SIGNALS",
    "Done",
    "Failed",
    "Logged",
    "OutageBegan",
    "OutageEnded",
    "Setup",
    "number_of",
    "pack_task",
    "read_frame",
    "unpack_items",
    "write_frame",
]

IGNORED_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals to all processes of a program, from a terminal or a service manager, at which only the coordinator ends."""

_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class Setup:
    """The first message to a worker.

    Attributes:
        answerer: What classifies the images.
        rows: What rows contain.
        threads: Number of chunks to score at once.
        patience: Seconds to wait for a server that restarts.
        log_level: Lowest level of log records that the worker sends.
        model: The model that answered when the coordinator connected.
        parent: Process ID of the coordinator, whose end ends the worker.
    """

    answerer: AnswererOptions
    rows: RowOptions
    threads: int
    patience: float
    log_level: int
    model: Model
    parent: int


@dataclass(frozen=True)
class Done:
    """The answer to a task.

    Attributes:
        number: The task.
        rows: A row for each item; None if its recorded row is the result.
        times: The time that it took.
    """

    number: int
    rows: list[ScoredRow | None]
    times: StageTimes


@dataclass(frozen=True)
class Failed:
    """An error that affects every image.

    Attributes:
        number: The task; None if the worker could not begin.
        error: The error.
    """

    number: int | None
    error: BaseException


@dataclass(frozen=True)
class OutageBegan:
    """See `OutageListener.begins`."""

    since: float
    message: str


@dataclass(frozen=True)
class OutageEnded:
    """See `OutageListener.ends`."""

    at: float


@dataclass(frozen=True)
class Logged:
    """A log record of the worker."""

    name: str
    level: int
    message: str


def write_frame(stream: BinaryIO, data: bytes) -> None:
    """Write a frame to an unbuffered stream."""
    left = memoryview(_LENGTH.pack(len(data)) + data)
    while left:
        left = left[stream.write(left) :]


def read_frame(stream: BinaryIO) -> bytes | None:
    """Read a frame from a buffered stream; None at the end of the stream."""
    header = stream.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(header)
    data = stream.read(length)
    return data if len(data) == length else None


def pack_task(number: int, items: Sequence[Item]) -> bytes:
    """Return the frame of a chunk.

    Raises:
        UsageError: If a source cannot be pickled.
    """
    try:
        return _LENGTH.pack(number) + pickle.dumps(items, pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001  (each class has its own)
        raise _not_sendable(error) from None


def number_of(data: bytes) -> int:
    """Return the number of the chunk in a frame."""
    number: int = _LENGTH.unpack_from(data)[0]
    return number


def unpack_items(data: bytes) -> list[Item]:
    """Return the items in a frame.

    Raises:
        UsageError: If the class of a source cannot be imported here.
    """
    try:
        items: list[Item] = pickle.loads(memoryview(data)[_LENGTH.size :])  # noqa: S301  (of the parent process)
    except Exception as error:  # noqa: BLE001  (see pack_task)
        raise _not_sendable(error) from None
    return items


def _not_sendable(error: Exception) -> UsageError:
    return UsageError(
        f"a source of images cannot be sent to a worker process: {type(error).__name__}: {error}",
        hint="Define its class in a module of its own rather than in the program, or pass workers=0",
    )
