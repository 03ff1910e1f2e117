"""What the measuring process and its sending processes tell each other, pickled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from camserve.clients.load.latencies import Latencies
from camserve.clients.wire.connection_options import ConnectionOptions

__all__ = ["END", "Begin", "Counts", "SenderSetup"]


@dataclass(frozen=True)
class SenderSetup:
    """The first message to a sending process.

    Attributes:
        url: The server.
        connection: How to connect.
        requests: Serialized requests, which are sent in turn.
        answer_bytes: Size of a correct answer.
    """

    url: str
    connection: ConnectionOptions
    requests: Sequence[bytes] = field(repr=False)
    answer_bytes: int


@dataclass(frozen=True)
class Begin:
    """Begin to load the server, until `END` follows.

    Attributes:
        start: When requests begin, as `time.perf_counter()`, which all processes of a host share.
        first_window: When the first window begins.
        window: Seconds of a window.
        concurrency: Requests of this process in flight (closed loop), or 0.
        rate: Requests per second of this process (open loop), or 0.
        offset: Seconds after `start` of its first request, with constant arrivals; None: a Poisson process.
        seed: Seed of the Poisson process.
    """

    start: float
    first_window: float
    window: float
    concurrency: int
    rate: float
    offset: float | None
    seed: int


END = "end"
"""Ends a load: no request is sent any more."""


@dataclass
class Counts:
    """What one process counted in one window. A request counts in the window in which it ends.

    Attributes:
        latencies: Latencies of the correct answers.
        errors: Number of failed requests by reason.
        late: Requests of an open loop that were sent more than 10 ms after their time.
        cpu: Seconds of CPU time of the process.
        in_flight: Requests without an answer at the end of the window.
        oldest: Seconds since the oldest of them should have started.
    """

    latencies: Latencies = field(default_factory=Latencies)
    errors: Counter[str] = field(default_factory=Counter)
    late: int = 0
    cpu: float = 0.0
    in_flight: int = 0
    oldest: float = 0.0
