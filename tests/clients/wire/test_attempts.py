"""When and where a call is tried again."""

from __future__ import annotations

import random

import pytest

from camserve.clients.wire.attempts import Attempts, pause
from camserve.clients.wire.failures import RetryScope

FOREVER = 1e9


def waits(tries: Attempts, *failures: tuple[str, RetryScope], remaining: float = FOREVER) -> list[float | None]:
    return [tries.record_failure(url, again, remaining) for url, again in failures]


def test_one_server_is_tried_as_often_as_was_asked_for_each_time_after_a_longer_wait() -> None:
    tries = Attempts(("a",), 5, patient=True, random_number=lambda: 1.0)
    assert waits(tries, *[("a", RetryScope.ANYWHERE)] * 6) == [0.25, 0.5, 1.0, 2.0, 4.0, None]
    assert tries.count == 6


@pytest.mark.parametrize("retries", range(6))
def test_no_call_is_tried_more_often_than_was_asked_for(retries: int) -> None:
    tries = Attempts(("a", "b"), retries, patient=True)
    found = waits(tries, *[("a", RetryScope.ANYWHERE), ("b", RetryScope.ANYWHERE)] * 3)
    assert [wait is None for wait in found] == [number >= retries for number in range(6)]


def test_waits_are_spread_by_chance_over_the_whole_of_their_bound() -> None:
    found = [Attempts(("a",), 5, patient=True, random_number=random.Random(n).random) for n in range(2000)]
    second = [waits(tries, *[("a", RetryScope.ANYWHERE)] * 2)[1] or 0.0 for tries in found]
    assert min(second) < 0.005
    assert max(second) > 0.495
    assert 0.24 < sum(second) / len(second) < 0.26


def test_another_server_is_asked_at_once_and_only_then_is_there_a_wait() -> None:
    tries = Attempts(("a", "b", "c"), 5, patient=True, random_number=lambda: 1.0)
    assert tries.record_failure("b", RetryScope.ANYWHERE, FOREVER) == 0.0
    assert set(tries.avoid) == {"b"}
    assert tries.record_failure("a", RetryScope.ANYWHERE, FOREVER) == 0.0
    assert set(tries.avoid) == {"a", "b"}
    assert tries.record_failure("c", RetryScope.ANYWHERE, FOREVER) == 1.0
    assert set(tries.avoid) == set()


def test_a_server_to_which_it_is_no_use_to_come_back_is_not_asked_again() -> None:
    tries = Attempts(("a", "b"), 5, patient=True, random_number=lambda: 1.0)
    assert waits(tries, ("a", RetryScope.ELSEWHERE), ("b", RetryScope.ANYWHERE)) == [0.0, 0.5]
    assert set(tries.avoid) == {"a"}
    assert waits(Attempts(("a",), 5, patient=True), ("a", RetryScope.ELSEWHERE)) == [None]


def test_what_is_refused_is_not_tried_again() -> None:
    assert waits(Attempts(("a", "b"), 5, patient=True), ("a", RetryScope.NOWHERE)) == [None]


def test_no_wait_goes_past_the_deadline() -> None:
    tries = Attempts(("a",), 5, patient=True, random_number=lambda: 1.0)
    assert waits(tries, ("a", RetryScope.ANYWHERE), remaining=0.3) == [0.25]
    assert waits(tries, ("a", RetryScope.ANYWHERE), remaining=0.3) == [None]
    assert waits(Attempts(("a", "b"), 5, patient=True), ("a", RetryScope.ANYWHERE), remaining=0.0) == [None]


def test_without_patience_every_server_is_asked_once() -> None:
    tries = Attempts(("a", "b"), 5, patient=False)
    assert waits(tries, ("a", RetryScope.ANYWHERE), ("b", RetryScope.ANYWHERE)) == [0.0, None]


def test_a_server_that_keeps_failing_is_left_alone_ever_longer_up_to_ten_seconds() -> None:
    assert [pause(failures, lambda: 1.0) for failures in (1, 2, 3, 4, 5, 6, 7, 10_000)] == [0.5, 1, 2, 4, 8, 10, 10, 10]
    assert pause(1, lambda: 0.0) == 0.25
