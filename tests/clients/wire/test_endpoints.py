"""Load balancing."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from camserve.clients.wire.endpoints import MISSES, Endpoints
from camserve.clients.wire.health_checks import Health

ABC = ("a", "b", "c")


def endpoints() -> Endpoints:
    return Endpoints(ABC, random_number=lambda: 1.0)


def test_server_with_the_fewest_calls_is_chosen() -> None:
    servers = endpoints()
    assert [servers.take(ABC) for _ in range(3)] == ["a", "b", "c"]
    servers.release("b")
    assert servers.take(ABC) == "b"


def test_equally_busy_servers_take_turns() -> None:
    servers = endpoints()
    taken = []
    for _ in range(9):
        taken.append(servers.take(ABC))
        servers.release(taken[-1])
    assert taken == list("abcabcabc")


def test_chosen_server_is_never_busier_than_another() -> None:
    servers, random_state = endpoints(), random.Random(0)
    pending: list[str] = []
    for _ in range(3000):
        before = Counter(pending)
        taken = servers.take(ABC)
        assert before[taken] == min(before[url] for url in ABC)
        pending.append(taken)
        if len(pending) > 10:
            servers.release(pending.pop(random_state.randrange(len(pending))))


def test_failed_server_is_avoided_until_a_good_health_check() -> None:
    servers = endpoints()
    servers.record_failure("a", now=100.0)
    assert {servers.take(ABC) for _ in range(6)} == {"b", "c"}
    assert set(servers.due(100.4)) == {"b", "c"}
    assert set(servers.due(100.5)) == {"a", "b", "c"}
    servers.record_check("a", Health.READY, now=100.5)
    assert servers.take(ABC) == "a"


def test_calls_lost_together_count_as_one_failure() -> None:
    servers = endpoints()
    for _ in range(100):
        servers.record_failure("a", now=0.0)
    assert "a" in servers.due(0.5)


def test_checks_back_off_until_a_reply_resets_the_failures() -> None:
    servers = endpoints()
    servers.record_failure("a", now=0.0)
    servers.record_check("a", Health.UNREACHABLE, now=0.5)
    assert "a" not in servers.due(1.4)
    servers.record_check("a", Health.UNREACHABLE, now=1.5)
    assert "a" not in servers.due(3.4)
    servers.record_reply("a")
    servers.record_failure("a", now=4.0)
    assert "a" in servers.due(4.5)


def test_server_not_ready_gets_no_calls_despite_replies() -> None:
    servers = endpoints()
    assert servers.take(("a",)) == "a"
    assert not servers.record_check("a", Health.NOT_READY, now=0.0)
    servers.record_reply("a")
    assert {servers.take(ABC) for _ in range(6)} == {"b", "c"}
    servers.record_check("a", Health.READY, now=1.0)
    servers.release("a")
    assert servers.take(ABC) == "a"


def test_server_is_up_after_a_reply() -> None:
    servers = endpoints()
    servers.record_check("a", Health.TIMED_OUT, now=0.0)
    servers.record_reply("a")
    assert servers.take(ABC) == "a"


def test_server_is_chosen_even_if_all_are_down() -> None:
    servers = endpoints()
    for url in ABC:
        servers.record_failure(url, now=0.0)
    assert {servers.take(ABC) for _ in range(3)} == set(ABC)


def test_avoided_server_is_chosen_last() -> None:
    servers = endpoints()
    servers.record_failure("b", now=0.0)
    assert servers.take(ABC, avoid={"a"}) == "c"
    assert servers.take(ABC, avoid={"a", "c"}) == "b"
    assert servers.take(("a",), avoid={"a"}) == "a"


@pytest.mark.parametrize(
    ("pending", "others_up", "resets"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_hanging_server_is_reset_if_another_is_up(pending: bool, others_up: bool, resets: bool) -> None:
    servers = endpoints()
    if pending:
        assert servers.take(("a",)) == "a"
    if not others_up:
        servers.record_failure("b", now=0.0)
        servers.record_failure("c", now=0.0)
    found = [servers.record_check("a", Health.TIMED_OUT, now=float(second)) for second in range(MISSES)]
    assert found == [False] * (MISSES - 1) + [resets]


def test_single_missed_check_resets_nothing() -> None:
    servers = endpoints()
    servers.take(("a",))
    for second in range(0, 20, 2):
        assert not servers.record_check("a", Health.TIMED_OUT, now=second)
        assert not servers.record_check("a", Health.READY, now=second + 1)
