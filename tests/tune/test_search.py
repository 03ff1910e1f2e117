"""The search of `camserve tune` on simulated hosts, whose true speeds are known."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from support.simulated_host import SimulatedHost

from camserve.tune.choices import Candidate, Choices, grid
from camserve.tune.readings import Reading
from camserve.tune.rounds import Rounds
from camserve.tune.search import Outcome, search

CHOICES = Choices(cores=2)
FIRST = [
    Candidate("fp32", "fp32", "onnxruntime", instances=1, threads=2),
    Candidate("fp32", "fp32", "openvino", instances=1, threads=2),
    Candidate("int8", "int8", "onnxruntime", instances=1, threads=2),
    Candidate("int8", "int8", "openvino", instances=1, threads=2),
    Candidate("bf16", "bf16", "openvino", instances=1, threads=2),
]
ALL = grid(FIRST, CHOICES)
HOSTS = range(40)


@dataclass
class Found:
    """What a search found on a host."""

    host: SimulatedHost
    rounds: Rounds
    outcome: Outcome

    @property
    def quality(self) -> float:
        """The true speed of the winner as a share of that of the best candidate."""
        best = self.outcome.best
        assert best is not None
        rate, _ = self.host.truth(best.contender.candidate, best.concurrency)
        return rate / self.host.best(ALL, CHOICES, self.rounds.limit)


def _ignore(_: object) -> None:
    """Do nothing with a reading."""


def _search(
    host: SimulatedHost, *, limit: float | None = None, concurrency: int | None = None, reserve: float = 90.0
) -> Found:
    rounds = Rounds(host, CHOICES, limit, concurrency, _ignore)
    return Found(host, rounds, search(rounds, FIRST, reserve=reserve))


def _limit(host: SimulatedHost) -> float:
    """Return a limit that matters: twice the p99 of the best candidate with one request in flight."""
    return 2 * min(host.truth(each, 1)[1] for each in ALL)


def test_the_winner_is_within_3_percent_of_the_best_in_a_fifth_of_the_time() -> None:
    found = [_search(SimulatedHost(seed)) for seed in HOSTS]
    assert sum(each.quality >= 0.97 for each in found) >= 0.95 * len(HOSTS)
    assert min(each.quality for each in found) > 0.93
    assert all(each.outcome.confirmed and each.outcome.complete for each in found)
    exhaustive = found[0].host.grid_seconds(ALL, CHOICES, rounds=3, seconds=1.0)
    assert max(each.host.now for each in found) < exhaustive / 5


def test_the_limit_holds_afterwards() -> None:
    held = total = 0
    qualities = []
    for seed in HOSTS:
        host = SimulatedHost(seed)
        limit = _limit(host)
        found = _search(host, limit=limit)
        best = found.outcome.best
        assert best is not None
        qualities.append(found.quality)
        readings = [host.read(best.contender.candidate, best.concurrency, 2.0) for _ in range(20)]
        held += sum(each.p99_ms <= limit for each in readings)
        total += len(readings)
    assert held >= 0.95 * total
    assert sum(each > 0.9 for each in qualities) >= 0.8 * len(HOSTS)  # a margin to the limit costs some speed


def test_a_search_that_ignores_the_limit_does_not_hold_it() -> None:
    host = SimulatedHost(3)
    limit = _limit(host)
    best = _search(host).outcome.best
    assert best is not None
    readings = [host.read(best.contender.candidate, best.concurrency, 2.0) for _ in range(20)]
    assert sum(each.p99_ms <= limit for each in readings) < 19


def test_the_first_stage_alone_is_not_enough() -> None:
    hosts = [SimulatedHost(seed) for seed in HOSTS]
    shares = [host.best(FIRST, CHOICES, None) / host.best(ALL, CHOICES, None) for host in hosts]
    assert sum(share >= 0.97 for share in shares) < 0.2 * len(HOSTS)


def test_losers_are_dropped_early() -> None:
    found = _search(SimulatedHost(1))
    readings = {
        name: sum(
            len(rounds)
            for contender in found.rounds.contenders.values()
            for rounds in contender.levels.values()
            if bool(contender.dropped) == name
        )
        for name in (True, False)
    }
    dropped = [each for each in found.rounds.contenders.values() if each.dropped]
    kept = [each for each in found.rounds.contenders.values() if not each.dropped]
    assert len(dropped) > len(kept)
    assert readings[False] / len(kept) > 2 * readings[True] / len(dropped)


def test_a_concurrency_is_not_searched_if_it_is_given() -> None:
    found = _search(SimulatedHost(2), concurrency=16)
    assert {level for each in found.rounds.contenders.values() for level in each.levels} == {16}
    best = found.outcome.best
    assert best is not None
    fastest = max(found.host.truth(each, 16)[0] for each in ALL)
    assert found.host.truth(best.contender.candidate, 16)[0] > 0.95 * fastest


def test_an_impossible_limit_has_no_winner() -> None:
    host = SimulatedHost(4)
    found = _search(host, limit=0.1)
    assert found.outcome.best is None
    assert all(each.levels for each in found.rounds.contenders.values())


def test_the_time_limit_is_kept_and_the_best_so_far_wins() -> None:
    host = SimulatedHost(5, seconds=60)
    found = _search(host, reserve=20)
    assert host.now < 60 + 5
    assert not found.outcome.complete
    assert found.outcome.best is not None
    assert found.quality > 0.6


def test_a_winner_without_confirmation_holds_the_limit_more_often_than_the_fastest() -> None:
    held: list[bool] = []
    fastest: list[bool] = []
    for seed in HOSTS:
        host = SimulatedHost(seed, seconds=60, noise=0.1)
        limit = _limit(host)
        found = _search(host, limit=limit, reserve=5)
        assert not found.outcome.confirmed
        for arm, readings in ((found.outcome.best, held), (found.rounds.best(), fastest)):
            assert arm is not None
            p99s = [host.read(arm.contender.candidate, arm.concurrency, 2.0).p99_ms for _ in range(20)]
            readings += [p99 <= limit for p99 in p99s]
    assert sum(held) / len(held) > 0.85 > sum(fastest) / len(fastest) + 0.05


@pytest.mark.parametrize("place", range(len(FIRST)))
def test_a_candidate_that_fails_is_named_and_never_wins(place: int) -> None:
    broken = FIRST[place]
    host = SimulatedHost(6, broken=[broken])
    found = _search(host)
    assert found.rounds.contenders[broken].dropped == "failed: it does not give the golden answers"
    best = found.outcome.best
    assert best is not None
    assert (best.contender.candidate.bundle, best.contender.candidate.backend) != (broken.bundle, broken.backend)


def test_equal_measurements_give_equal_results() -> None:
    first, second = (_search(SimulatedHost(7)) for _ in range(2))
    assert first.outcome.best is not None
    assert second.outcome.best is not None
    assert first.outcome.best.contender.candidate == second.outcome.best.contender.candidate
    assert first.host.readings == second.host.readings


def test_a_reading_has_the_mean_of_its_windows() -> None:
    assert Reading((1.0, 2.0, 6.0), 1.0, 2.0).rate == 3.0
