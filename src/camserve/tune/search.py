"""The search: which candidates to measure, which to drop, and which one wins.

Each stage refines the best candidates of the stage before by one kind of choice. Candidates are measured in turn, round
after round, and dropped as soon as they are certainly not among the best. The last stage measures the best ones longer,
also at the next lower and higher concurrency, and confirms that the limit holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from camserve.tune.choices import STAGES, Candidate, Stage, refined
from camserve.tune.confirmation import confirm
from camserve.tune.contender import Arm, Contender
from camserve.tune.readings import is_slower
from camserve.tune.rounds import OutOfTimeError, Rounds

__all__ = ["Outcome", "search"]

_ROUNDS = 3
_TIE = 1.01
"""A candidate that is at most this much faster than enough others is not worth further readings."""


@dataclass(frozen=True)
class Outcome:
    """How a search ended.

    Attributes:
        best: The best arm; None if none is within the limit.
        confirmed: Whether it was measured as often as the last stage wants, and its p99 is certain to hold the limit.
        complete: Whether the time was enough for every stage.
    """

    best: Arm | None
    confirmed: bool
    complete: bool


def search(rounds: Rounds, first: Sequence[Candidate], *, reserve: float) -> Outcome:
    """Search for the candidate with the most images per second within the limit.

    Args:
        rounds: Measures candidates, and keeps what was measured.
        first: The candidates of the first stage.
        reserve: Seconds to keep for the last stage.
    """
    complete, finalists = True, [rounds.contender(each) for each in first]
    rounds.reserve = reserve
    try:
        for stage in STAGES:
            candidates = [each for old in finalists for each in refined(stage, old.candidate, rounds.choices)]
            contenders = [rounds.contender(each) for each in dict.fromkeys(candidates)]
            finalists = _race(rounds, stage, contenders) or finalists
            if not any(each.levels for each in finalists):
                return Outcome(None, confirmed=False, complete=True)
    except OutOfTimeError:
        complete = False
        finalists = _best_so_far(rounds)
    rounds.reserve = 0.0
    winner, confirmed = confirm(rounds, [each for each in finalists if not each.dropped])
    return Outcome(winner, confirmed, complete)


def _best_so_far(rounds: Rounds) -> list[Contender]:
    """Return the contender of the best arm, compared at the concurrency of that arm from now on."""
    best = rounds.best()
    if best is None:
        return []
    best.contender.concurrency = best.concurrency
    return [best.contender]


def _race(rounds: Rounds, stage: Stage, contenders: Sequence[Contender]) -> list[Contender]:
    """Measure contenders in turn, drop those that are certainly slower, and return those to refine."""
    alive = [each for each in contenders if not each.dropped]
    rounds.stage = stage.name
    for turn in range(_ROUNDS):
        rounds.number += 1
        rounds.competing = len(alive)
        for contender in alive if turn % 2 == 0 else reversed(alive):
            rounds.measure(contender)
        alive = _survivors(rounds, stage, [each for each in alive if not each.dropped])
        if len(alive) <= 1:
            break
    for contender in alive[stage.most :]:
        contender.dropped = f"slower than the fastest {stage.most}"
    kept = alive[: stage.most]
    if kept and rounds.within(kept[0].arm):
        rounds.start_at(kept[0].arm.concurrency)
    return kept


def _survivors(rounds: Rounds, stage: Stage, contenders: Sequence[Contender]) -> list[Contender]:
    """Drop contenders that are certainly not among those to refine; return the others, the best first."""
    within = sorted((each for each in contenders if rounds.within(each.arm)), key=lambda each: -each.arm.rate)
    over = sorted((each for each in contenders if each not in within), key=lambda each: each.arm.p99_ms())
    if not within:
        return over
    best, worst_kept = within[0].arm, within[min(stage.most, len(within)) - 1].arm
    for contender in within[1:]:
        arm = contender.arm
        if is_slower(arm.rounds, best.rounds, 1 - stage.keep):
            contender.dropped = f"slower: at most {1 - stage.keep:.0%} of the fastest"
        elif contender not in within[: stage.most] and is_slower(arm.rounds, worst_kept.rounds, _TIE):
            contender.dropped = f"not faster than the fastest {stage.most}"
    for contender in over:
        if len(contender.arm.rounds) > 1:
            contender.dropped = f"p99 of {contender.arm.p99_ms():.3g} ms at concurrency {contender.arm.concurrency}"
    return [each for each in (*within, *over) if not each.dropped]
