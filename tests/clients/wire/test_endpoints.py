"""The choice among several servers."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from camserve.clients.wire.endpoints import MISSES, Endpoints
from camserve.clients.wire.health_checks import Health

ABC = ("a", "b", "c")


def endpoints() -> Endpoints:
    return Endpoints(ABC, random_number=lambda: 1.0)


def test_the_one_with_the_fewest_calls_is_taken() -> None:
    known = endpoints()
    assert [known.take(ABC) for _ in range(3)] == ["a", "b", "c"]
    known.release("b")
    assert known.take(ABC) == "b"


def test_of_equally_busy_ones_each_has_its_turn() -> None:
    known = endpoints()
    taken = []
    for _ in range(9):
        taken.append(known.take(ABC))
        known.release(taken[-1])
    assert taken == list("abcabcabc")


def test_the_one_that_is_taken_is_never_busier_than_another_whatever_the_length_of_calls() -> None:
    known, chance = endpoints(), random.Random(0)
    under_way: list[str] = []
    for _ in range(3000):
        before = Counter(under_way)
        taken = known.take(ABC)
        assert before[taken] == min(before[url] for url in ABC)
        under_way.append(taken)
        if len(under_way) > 10:
            known.release(under_way.pop(chance.randrange(len(under_way))))


def test_one_that_failed_is_left_alone_until_its_health_is_found_good() -> None:
    known = endpoints()
    known.record_failure("a", now=100.0)
    assert {known.take(ABC) for _ in range(6)} == {"b", "c"}
    assert set(known.due(100.4)) == {"b", "c"}
    assert set(known.due(100.5)) == {"a", "b", "c"}
    known.record_check("a", Health.READY, now=100.5)
    assert known.take(ABC) == "a"


def test_calls_lost_together_count_as_one_failure() -> None:
    known = endpoints()
    for _ in range(100):
        known.record_failure("a", now=0.0)
    assert "a" in known.due(0.5)


def test_one_that_keeps_failing_is_asked_less_and_less_often_and_an_answer_makes_good_for_all() -> None:
    known = endpoints()
    known.record_failure("a", now=0.0)
    known.record_check("a", Health.UNREACHABLE, now=0.5)
    assert "a" not in known.due(1.4)
    known.record_check("a", Health.UNREACHABLE, now=1.5)
    assert "a" not in known.due(3.4)
    known.record_reply("a")
    known.record_failure("a", now=4.0)
    assert "a" in known.due(4.5)


def test_one_that_is_not_ready_gets_no_calls_even_while_it_answers_those_that_it_has() -> None:
    known = endpoints()
    assert known.take(("a",)) == "a"
    assert not known.record_check("a", Health.NOT_READY, now=0.0)
    known.record_reply("a")
    assert {known.take(ABC) for _ in range(6)} == {"b", "c"}
    known.record_check("a", Health.READY, now=1.0)
    known.release("a")
    assert known.take(ABC) == "a"


def test_one_that_was_silent_is_up_once_it_answers() -> None:
    known = endpoints()
    known.record_check("a", Health.TIMED_OUT, now=0.0)
    known.record_reply("a")
    assert known.take(ABC) == "a"


def test_where_all_are_down_one_is_asked_all_the_same() -> None:
    known = endpoints()
    for url in ABC:
        known.record_failure(url, now=0.0)
    assert {known.take(ABC) for _ in range(3)} == set(ABC)


def test_one_that_is_to_be_avoided_is_taken_last() -> None:
    known = endpoints()
    known.record_failure("b", now=0.0)
    assert known.take(ABC, avoid={"a"}) == "c"
    assert known.take(ABC, avoid={"a", "c"}) == "b"
    assert known.take(("a",), avoid={"a"}) == "a"


@pytest.mark.parametrize(
    ("under_way", "others_up", "given_up"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_calls_are_taken_from_one_that_hangs_if_another_can_have_them(
    under_way: bool, others_up: bool, given_up: bool
) -> None:
    known = endpoints()
    if under_way:
        assert known.take(("a",)) == "a"
    if not others_up:
        known.record_failure("b", now=0.0)
        known.record_failure("c", now=0.0)
    told = [known.record_check("a", Health.TIMED_OUT, now=float(second)) for second in range(MISSES)]
    assert told == [False] * (MISSES - 1) + [given_up]


def test_a_single_late_answer_takes_no_calls_away() -> None:
    known = endpoints()
    known.take(("a",))
    for second in range(0, 20, 2):
        assert not known.record_check("a", Health.TIMED_OUT, now=second)
        assert not known.record_check("a", Health.READY, now=second + 1)
