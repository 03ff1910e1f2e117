"""What limits a run is the stage that takes the most time, and the server tells its own share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from camserve.clients.scoring.answerer import Answerer
from camserve.clients.scoring.bottleneck import Bottleneck
from camserve.clients.scoring.served_answerer import ServedAnswerer
from camserve.clients.scoring.stage_times import StageTimes
from camserve.clients.wire.values import Statistics


class Counting(ServedAnswerer):
    """A served model whose statistics are given."""

    def __init__(self, statistics: Sequence[Statistics | None]) -> None:
        self._left = list(statistics)

    def statistics(self) -> Statistics | None:
        return self._left.pop(0)


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        (StageTimes(), None),
        (StageTimes(read=3, decode=2, answer=1), "reading"),
        (StageTimes(read=1, decode=3, answer=2), "decoding"),
        (StageTimes(read=1, decode=2, answer=3), "inference"),
    ],
)
def test_the_longest_stage_is_the_limit(stages: StageTimes, expected: str | None) -> None:
    assert Bottleneck(cast("Answerer", object())).find(stages) == expected


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (Statistics(110, 6.0, 3.0), "server"),
        (Statistics(110, 1.0, 1.5), "network"),
        (Statistics(100, 1.0, 1.0), "server or network"),
        (None, "server or network"),
    ],
)
def test_the_server_tells_whether_it_or_the_network_is_the_limit(after: Statistics | None, expected: str) -> None:
    bottleneck = Bottleneck(Counting([Statistics(100, 1.0, 1.0), after]))
    assert bottleneck.find(StageTimes()) is None
    assert bottleneck.find(StageTimes(decode=1.0, answer=10.0, requests=10)) == expected


def test_only_the_time_since_the_last_call_counts() -> None:
    bottleneck = Bottleneck(cast("Answerer", object()))
    assert bottleneck.find(StageTimes(decode=100)) == "decoding"
    assert bottleneck.find(StageTimes(decode=100, read=1)) == "reading"
    assert bottleneck.find(StageTimes(decode=100, read=1)) == "reading"
