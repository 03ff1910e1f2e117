"""Tune bundles on this host: what `camserve tune` does."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from camserve.bundle import Bundle, load_bundle
from camserve.cores import host_cores
from camserve.errors import ServerError, UsageError
from camserve.text import count
from camserve.tune.bench import TritonBench
from camserve.tune.choices import Choices, first_candidates
from camserve.tune.result import TunedPoint, TuneResult, tuned_candidate, tuned_point
from camserve.tune.rounds import Rounds, TuneProgress
from camserve.tune.search import Outcome, search

__all__ = ["Tuning"]

_RESERVE = 0.3
_NOISY = 0.05
"""Relative half width of the winner's interval from which on the host is too noisy."""


class Tuning:
    """A search for the serving options with the most images per second, whose results so far can be read at any time.

    Args:
        bundles: Folders of bundles of one network, such as one for each precision.
        limit: Limit of the p99 in milliseconds, or None.
        concurrency: Requests in flight; None to find out how many give the most images per second.
        seconds: How long to measure at most.
        choices: What may be chosen (default: `Choices` for the cores of this host).
        report: Called with each reading.

    Raises:
        UsageError: If an option is invalid, no bundle is given, or none can be served here.
        BundleError: If a bundle is incomplete or was changed.
    """

    def __init__(
        self,
        bundles: Sequence[str | Path],
        *,
        limit: float | None = None,
        concurrency: int | None = None,
        seconds: float = 300.0,
        choices: Choices | None = None,
        report: Callable[[TuneProgress], None] | None = None,
    ) -> None:
        _check(limit, concurrency, seconds)
        opened = [load_bundle(path) for path in dict.fromkeys(Path(each).expanduser().absolute() for each in bundles)]
        _check_same_input(opened)
        self.choices = choices or Choices(host_cores())
        self._bundles = {str(bundle.path): bundle for bundle in opened}
        self._first, self._left_out = first_candidates(opened, self.choices.cores)
        if not self._first:
            raise UsageError(
                f"no backend can serve these bundles: {'; '.join(self._left_out)}",
                hint="Export the model with --precision fp32 or int8: camserve export --help",
            )
        self._limit, self._concurrency, self._seconds = limit, concurrency, seconds
        self._report = report or _ignore
        self._rounds: Rounds | None = None
        self._outcome: Outcome | None = None
        self._started = time.monotonic()

    def run(self) -> TuneResult:
        """Search.

        Raises:
            ServerError: If the embedded Triton cannot run here, or no candidate could be served.
        """
        self._started = time.monotonic()
        with TritonBench(self._bundles, self._seconds) as bench:
            self._rounds = Rounds(bench, self.choices, self._limit, self._concurrency, self._report)
            self._outcome = search(self._rounds, self._first, reserve=_RESERVE * self._seconds)
        result = self.result()
        if not any(candidate.points for candidate in result.candidates):
            reasons = "; ".join(str(candidate.dropped) for candidate in result.candidates if candidate.dropped)
            raise ServerError(
                f"nothing could be measured: {reasons or f'{self._seconds:g} s were not enough'}",
                hint="Look for the cause with: camserve doctor" if reasons else "Raise --time",
            )
        return result

    def result(self) -> TuneResult:
        """Return what was measured so far, with the best candidate so far as the winner."""
        contenders = [] if self._rounds is None else list(self._rounds.contenders.values())
        measured = [each for each in contenders if each.levels or each.dropped]
        outcome = self._outcome
        best = outcome.best if outcome else self._rounds.best() if self._rounds else None
        winner = None if best is None else tuned_candidate(best.contender)
        candidates = tuple(
            winner if best is not None and winner is not None and each is best.contender else tuned_candidate(each)
            for each in measured
        )
        point = None if best is None else tuned_point(best)
        notes = self._notes(outcome, point)
        seconds = time.monotonic() - self._started
        return TuneResult(winner, point, self._limit, candidates, tuple(self._left_out), seconds, tuple(notes))

    def _notes(self, outcome: Outcome | None, point: TunedPoint | None) -> list[str]:
        notes = []
        if outcome is None:
            notes.append("ended early: the best so far is shown, which further measurements may replace")
        elif not outcome.complete:
            notes.append(f"the time was not enough for every choice: raise --time above {self._seconds:g}")
        if outcome is not None and point is not None and not outcome.confirmed:
            notes.append(
                "the winner was not measured often enough for a certain result"
                if self._limit is None
                else f"the winner may exceed a p99 of {self._limit:g} ms: too little time to confirm it"
            )
        if point is not None:
            low, high = point.interval
            noise = (high - low) / 2 / point.images_per_second
            if noise > _NOISY and point.readings > 2:
                notes.append(
                    f"this host is noisy: the winner's rate is known to ± {noise:.0%} only, so that another candidate "
                    "may be as fast; measure again when nothing else runs"
                )
            if point.client_limited:
                notes.append("the load generator was busy throughout, so that the server may be able to do more")
        return notes


def _ignore(progress: TuneProgress) -> None:
    """Do nothing with a reading: the default where the caller gives no listener."""


def _check(limit: float | None, concurrency: int | None, seconds: float) -> None:
    if limit is not None and not 0 < limit < 1e6:
        raise UsageError(f"--p99 must be between 0 and 1,000,000 ms, got {limit:g}", hint="Pass for example --p99 50")
    if concurrency is not None and not 1 <= concurrency <= 4096:
        raise UsageError(f"--concurrency must be from 1 to 4,096, got {concurrency}", hint="Pass for example 16")
    if not 1 <= seconds <= 86_400:
        raise UsageError(f"--time must be from 1 to 86,400 s, got {seconds:g}", hint="Pass for example --time 300")


def _check_same_input(bundles: Sequence[Bundle]) -> None:
    """Refuse bundles of different networks, whose images per second mean different things."""
    if not bundles:
        raise UsageError("no bundle was given", hint="Pass at least one: camserve tune BUNDLE_DIR")
    shapes = {(bundle.contract.input.shape, bundle.contract.classes) for bundle in bundles}
    if len(shapes) > 1:
        raise UsageError(
            f"the {count(len(bundles), 'bundle')} are of different networks: their input sizes or classes differ",
            hint="Pass bundles of one network, such as one for each precision, or tune each alone",
        )
