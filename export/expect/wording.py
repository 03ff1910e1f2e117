"""What the report and errors say about pipelines that were tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from camserve.errors import ParityError
from camserve.export.expect.candidates import Given
from camserve.export.expect.expected import Expected
from camserve.export.expect.trial import Trial
from camserve.text import count, printable

__all__ = ["no_pipeline_error", "refuted_error", "result_text", "summary"]

_SHOWN = 3


def summary(trials: Sequence[Trial], tolerance: float, origin: str) -> dict[str, Any]:
    """Return what the report contains: the pipeline, how well it reproduces the answers, and the next best.

    Args:
        trials: The trials, best first.
        tolerance: Largest difference of a reproduced answer.
        origin: Where the pipeline is from: `given`, `documented` or `found`.
    """
    best = trials[0]
    return {
        "pipeline": best.candidate.options(),
        "origin": origin,
        "images": len(best.differences),
        "reproduced": best.reproduced(tolerance),
        "largest_difference": best.largest,
        "text": result_text(trials, tolerance),
    }


def result_text(trials: Sequence[Trial], tolerance: float) -> str:
    """Return one sentence: what the best pipeline reproduces, and the next best."""
    best, images = trials[0], len(trials[0].differences)
    text = f"{best.candidate.options()} reproduces {_result(best, tolerance)}"
    if len(trials) == 1:
        return text
    return f"{text}; next best {trials[1].candidate.options()}: {trials[1].reproduced(tolerance)} of {images}"


def no_pipeline_error(trials: Sequence[Trial], given: Given, expected: Expected, tolerance: float) -> ParityError:
    """Return the error for expected answers that no pipeline reproduces."""
    what = "no combination of preset, resize filter and fit reproduces the expected answers"
    if not trials:
        return ParityError(
            f"{what}: the model takes none of them", hint="Pass 3-channel or gray images: see camserve export --help"
        )
    best = trials[0]
    missed = [name for name, each in zip(expected.names, best.differences, strict=True) if each > tolerance]
    return ParityError(
        f"{what}; the best, {best.candidate.options()}, reproduces {_result(best, tolerance)}, not "
        f"{', '.join(map(printable, missed[:_SHOWN]))}{', …' if len(missed) > _SHOWN else ''}",
        hint="Check that the answers are those of this model to these files, without augmentation, padding or other "
        "arithmetic; or accept larger differences with --bound end_to_end=NUMBER",
    )


def refuted_error(
    trials: Sequence[Trial], better: Sequence[Trial], given: Given, expected: Expected, tolerance: float
) -> ParityError:
    """Return the error for given parts with which the expected answers are not reproduced, although others do."""
    failed = f"; the best with the given options, {trials[0].candidate.options()}, reproduces" if trials else ""
    result = f"{failed} {_result(trials[0], tolerance)}" if trials else ""
    return ParityError(
        f"the given preprocessing does not reproduce the expected answers{result}",
        hint=f"Use {better[0].candidate.options(with_fit=given.fit is not None)}, which reproduces "
        f"{_result(better[0], tolerance)}",
    )


def _result(trial: Trial, tolerance: float) -> str:
    images = len(trial.differences)
    if not any(trial.squares):  # only classes are expected
        return f"{trial.reproduced(tolerance)} of {images}"
    return f"{trial.reproduced(tolerance)} of {count(images, 'image')} (largest difference {trial.largest:.1g})"
