"""How long the stages of scoring took, and which of them limits the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from camserve.clients.answers.classification import Classification

__all__ = ["StageTimes"]


@dataclass(frozen=True)
class StageTimes:
    """Seconds of each stage, summed over threads and processes.

    Attributes:
        read: Reading image files, their checksums and headers.
        decode: Decoding and preprocessing.
        answer: Waiting for answers, and reading them.
        requests: Number of requests.
    """

    read: float = 0.0
    decode: float = 0.0
    answer: float = 0.0
    requests: int = 0

    def __add__(self, other: StageTimes) -> StageTimes:
        return StageTimes(
            self.read + other.read,
            self.decode + other.decode,
            self.answer + other.answer,
            self.requests + other.requests,
        )

    def __sub__(self, other: StageTimes) -> StageTimes:
        return StageTimes(
            self.read - other.read,
            self.decode - other.decode,
            self.answer - other.answer,
            self.requests - other.requests,
        )

    @classmethod
    def of_results(cls, results: Sequence[object], seconds: float) -> StageTimes:
        """Return the times of requests that took so many seconds in total; the rest of decoding is the answer."""
        # The results of one request have one and the same `timings`.
        timings = {id(each.timings): each.timings for each in results if isinstance(each, Classification)}
        decode = min(seconds, sum(each.prepare for each in timings.values()))
        return cls(decode=decode, answer=seconds - decode, requests=len(timings))
