"""The retry policy: when and where a request is sent scope."""

from __future__ import annotations

import random

import pytest

from camserve.clients.wire.attempts import Attempts, pause
from camserve.clients.wire.failures import RetryScope

FOREVER = 1e9


def waits(attempts: Attempts, *failures: tuple[str, RetryScope], remaining: float = FOREVER) -> list[float | None]:
    return [attempts.record_failure(url, scope, remaining) for url, scope in failures]


def test_waits_grow_between_retries_at_one_server() -> None:
    attempts = Attempts(("a",), 5, patient=True, random_number=lambda: 1.0)
    assert waits(attempts, *[("a", RetryScope.ANYWHERE)] * 6) == [0.25, 0.5, 1.0, 2.0, 4.0, None]
    assert attempts.count == 6


@pytest.mark.parametrize("retries", range(6))
def test_retries_limit_the_attempts(retries: int) -> None:
    attempts = Attempts(("a", "b"), retries, patient=True)
    found = waits(attempts, *[("a", RetryScope.ANYWHERE), ("b", RetryScope.ANYWHERE)] * 3)
    assert [wait is None for wait in found] == [number >= retries for number in range(6)]


def test_waits_are_uniform_up_to_their_limit() -> None:
    found = [Attempts(("a",), 5, patient=True, random_number=random.Random(n).random) for n in range(2000)]
    second = [waits(attempts, *[("a", RetryScope.ANYWHERE)] * 2)[1] or 0.0 for attempts in found]
    assert min(second) < 0.005
    assert max(second) > 0.495
    assert 0.24 < sum(second) / len(second) < 0.26


def test_other_servers_are_used_without_a_wait() -> None:
    attempts = Attempts(("a", "b", "c"), 5, patient=True, random_number=lambda: 1.0)
    assert attempts.record_failure("b", RetryScope.ANYWHERE, FOREVER) == 0.0
    assert set(attempts.avoid) == {"b"}
    assert attempts.record_failure("a", RetryScope.ANYWHERE, FOREVER) == 0.0
    assert set(attempts.avoid) == {"a", "b"}
    assert attempts.record_failure("c", RetryScope.ANYWHERE, FOREVER) == 1.0
    assert set(attempts.avoid) == set()


def test_excluded_server_is_not_used_again() -> None:
    attempts = Attempts(("a", "b"), 5, patient=True, random_number=lambda: 1.0)
    assert waits(attempts, ("a", RetryScope.ELSEWHERE), ("b", RetryScope.ANYWHERE)) == [0.0, 0.5]
    assert set(attempts.avoid) == {"a"}
    assert waits(Attempts(("a",), 5, patient=True), ("a", RetryScope.ELSEWHERE)) == [None]


def test_refused_request_is_not_retried() -> None:
    assert waits(Attempts(("a", "b"), 5, patient=True), ("a", RetryScope.NOWHERE)) == [None]


def test_retry_stops_at_the_deadline() -> None:
    attempts = Attempts(("a",), 5, patient=True, random_number=lambda: 1.0)
    assert waits(attempts, ("a", RetryScope.ANYWHERE), remaining=0.3) == [0.25]
    assert waits(attempts, ("a", RetryScope.ANYWHERE), remaining=0.3) == [None]
    assert waits(Attempts(("a", "b"), 5, patient=True), ("a", RetryScope.ANYWHERE), remaining=0.0) == [None]


def test_attempts_without_a_connection_do_not_count_by_default() -> None:
    attempts = Attempts(("a",), None, patient=True, random_number=lambda: 1.0)
    gone = [attempts.record_failure("a", RetryScope.ANYWHERE, FOREVER, unreachable=True) for _ in range(9)]
    assert gone == [0.25, 0.5, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    assert waits(attempts, *[("a", RetryScope.ANYWHERE)] * 6) == [4.0] * 5 + [None]
    impatient = Attempts(("a",), None, patient=False)
    assert impatient.record_failure("a", RetryScope.ANYWHERE, FOREVER, unreachable=True) is None


@pytest.mark.parametrize("retries", range(6))
def test_a_given_number_of_retries_counts_every_attempt(retries: int) -> None:
    attempts = Attempts(("a",), retries, patient=True)
    gone = [attempts.record_failure("a", RetryScope.ANYWHERE, FOREVER, unreachable=True) for _ in range(6)]
    assert [wait is None for wait in gone] == [number >= retries for number in range(6)]


def test_impatient_request_uses_each_server_once() -> None:
    attempts = Attempts(("a", "b"), 5, patient=False)
    assert waits(attempts, ("a", RetryScope.ANYWHERE), ("b", RetryScope.ANYWHERE)) == [0.0, None]


def test_pause_of_a_failing_server_grows_to_ten_seconds() -> None:
    assert [pause(failures, lambda: 1.0) for failures in (1, 2, 3, 4, 5, 6, 7, 10_000)] == [0.5, 1, 2, 4, 8, 10, 10, 10]
    assert pause(1, lambda: 0.0) == 0.25
