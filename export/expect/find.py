"""Find the pipeline that reproduces the expected answers, or refuse to guess."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from camserve.contract import Preprocessing
from camserve.export.expect.ambiguity import ambiguity_error, without_equivalents
from camserve.export.expect.candidates import Candidate, Given, list_candidates
from camserve.export.expect.expected import Expected
from camserve.export.expect.trial import Trial, answers_of, try_candidates
from camserve.export.expect.wording import no_pipeline_error, refuted_error, summary
from camserve.export.graph.network import Network
from camserve.export.options import ExportOptions
from camserve.progress import Progress

__all__ = ["FoundPipeline", "find_pipeline"]

_EXACT = 1e-4
"""Answers that are as close as this need no comparison with other pipelines."""

_CLEARLY = 5
"""A pipeline reproduces answers clearly better than another if its distance is so many times smaller."""


@dataclass(frozen=True)
class FoundPipeline:
    """The pipeline of an export.

    Attributes:
        preprocessing: Its preprocessing.
        summary: How well it reproduces the expected answers, and the next best.
    """

    preprocessing: Preprocessing
    summary: str


def find_pipeline(
    network: Network, documented: Preprocessing | None, expected: Expected, options: ExportOptions, progress: Progress
) -> FoundPipeline:
    """Find the one pipeline with the given parts that reproduces the expected answers.

    Args:
        network: The classifier as it was traced.
        documented: The preprocessing of a recipe; it is tried first if nothing is given.
        expected: The expected answers.
        options: The options.
        progress: Called with the name of each stage as it begins.

    Raises:
        ParityError: If none with the given parts reproduces them, if another one does so clearly better, or if several
            do equally well.
    """
    search = _Search(network, documented, expected, options, progress)
    given = Given.from_options(options)
    implied = documented is not None and given == Given()
    asked = Given(documented, documented.resize, documented.fit) if documented and implied else given
    trials = search.trials(asked)
    winners = search.winners(trials)
    if asked != Given() and not search.is_exact(winners):
        every = search.trials(Given())
        best = search.winners(every)
        if best and (not winners or _is_clearly_closer(best[0], winners[0])):
            if not implied:
                raise refuted_error(trials, best, given, expected, search.tolerance)
            winners = best
        trials = every
    if not winners:
        raise no_pipeline_error(trials, expected, search.tolerance)
    equal = [trial for trial in winners if not _is_clearly_closer(winners[0], trial)]
    distinct = without_equivalents(equal, network.shape)
    if len(distinct) > 1:
        raise ambiguity_error(distinct, expected, network.shape, search.tolerance)
    alike = {trial.candidate for trial in equal}
    others = [trial for trial in trials if trial.candidate not in alike]
    return FoundPipeline(distinct[0].candidate.preprocessing, summary([*distinct, *others], expected, search.tolerance))


class _Search:
    """Tries pipelines, each once."""

    def __init__(
        self,
        network: Network,
        documented: Preprocessing | None,
        expected: Expected,
        options: ExportOptions,
        progress: Progress,
    ) -> None:
        others = [each for each in (options.preprocessing, documented) if isinstance(each, Preprocessing)]
        self._candidates = list_candidates(network.shape[2], network.dtype, others)
        self._network, self._expected, self._progress = network, expected, progress
        self._answers = answers_of(network)
        self.tolerance = options.tolerances.end_to_end

    def trials(self, given: Given) -> list[Trial]:
        """Return the trials of all candidates with the given parts, best first."""
        candidates: Sequence[Candidate] = [each for each in self._candidates if given.allows(each)]
        return try_candidates(
            candidates,
            self._expected,
            self._network.shape,
            self._answers,
            tolerance=self.tolerance,
            progress=self._progress,
        )

    def winners(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return the trials that reproduce every answer, best first."""
        return [trial for trial in trials if trial.reproduced(self.tolerance) == len(self._expected)]

    def is_exact(self, winners: Sequence[Trial]) -> bool:
        """Return whether the best reproduces the answers so closely that no other one needs to be tried."""
        return bool(winners) and winners[0].largest <= _EXACT


def _is_clearly_closer(trial: Trial, other: Trial) -> bool:
    return trial.candidate != other.candidate and other.distance > _CLEARLY * trial.distance
