"""Find the pipeline that reproduces the expected answers, or refuse to guess."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from camserve.contract import Preprocessing
from camserve.errors import ParityError
from camserve.export.expect.ambiguity import ambiguity_error
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
        report: What the report contains about it.
    """

    preprocessing: Preprocessing
    report: dict[str, Any]


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
    if given == Given() and documented is not None:
        first = Given(documented, documented.resize, documented.fit)
        trials = search.trials(first)
        if trials and _reproduces(trials[0], search) and trials[0].largest <= _EXACT:
            return _found(trials, search, "documented")
    trials = search.trials(given)
    winners = [trial for trial in trials if _reproduces(trial, search)]
    certain = given == Given() or (bool(winners) and (expected.probabilities is None or winners[0].largest <= _EXACT))
    every = trials if certain else search.trials(Given())
    better = [trial for trial in every if _reproduces(trial, search)]
    if not better:
        raise no_pipeline_error(every, given, expected, search.tolerance)
    if not winners or _is_clearly_closer(better[0], winners[0]):
        raise refuted_error(trials, better, given, expected, search.tolerance)
    equal = [trial for trial in winners if not _is_clearly_closer(winners[0], trial)]
    if len(equal) > 1:
        raise ambiguity_error(equal, expected, network.shape, search.tolerance)
    return _found(trials if len(trials) > 1 else every, search, "given" if given.is_complete else "found")


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


def _reproduces(trial: Trial, search: _Search) -> bool:
    return trial.reproduced(search.tolerance) == len(trial.differences)


def _is_clearly_closer(trial: Trial, other: Trial) -> bool:
    return trial.candidate != other.candidate and other.distance > _CLEARLY * trial.distance


def _found(trials: Sequence[Trial], search: _Search, origin: str) -> FoundPipeline:
    return FoundPipeline(trials[0].candidate.preprocessing, summary(trials, search.tolerance, origin))
