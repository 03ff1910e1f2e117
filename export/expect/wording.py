"""What the report and errors say about pipelines that were tried."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from camserve.errors import ParityError
from camserve.export.expect.candidates import Given
from camserve.export.expect.expected import Expected
from camserve.export.expect.trial import Trial
from camserve.images.loading import load_image
from camserve.text import count, printable

__all__ = ["no_pipeline_error", "refuted_error", "summary"]

_SHOWN = 3
_ORIENTATION = 0x0112
_CHECK = (
    "Check that the answers are those of this model to these files, without augmentation, padding or other "
    "arithmetic, or accept larger differences: --bound end_to_end=NUMBER"
)


def summary(trials: Sequence[Trial], expected: Expected, tolerance: float) -> str:
    """Return how well a pipeline reproduces the answers, and the next best.

    Args:
        trials: The trials, that of the pipeline first.
        expected: The expected answers.
        tolerance: Largest difference of a reproduced answer.
    """
    chosen = trials[0]
    text = f"{chosen.candidate.options()} reproduces {_result(chosen, expected, tolerance)}"
    if len(trials) > 1:
        next_best = trials[1]
        text += f"; next best {next_best.candidate.options()}: {_result(next_best, expected, tolerance)}"
    return text


def no_pipeline_error(trials: Sequence[Trial], expected: Expected, tolerance: float) -> ParityError:
    """Return the error for expected answers that no pipeline reproduces."""
    what = "no combination of preset, resize filter and fit reproduces the expected answers"
    if not trials:
        return ParityError(f"{what}: none can be applied to all images", hint=_CHECK)
    best = trials[0]
    missed = [name for name, each in zip(expected.names, best.differences, strict=True) if each > tolerance]
    rotated = [name for name, path in zip(expected.names, expected.images, strict=True) if is_rotated(path)]
    exif = f"; {count(len(rotated), 'image')} with an EXIF rotation, which OpenCV applies, and camserve with --exif"
    return ParityError(
        f"{what}; the best, {best.candidate.options()}, reproduces {_result(best, expected, tolerance)}, without "
        f"{', '.join(map(printable, missed[:_SHOWN]))}{', …' if len(missed) > _SHOWN else ''}{exif if rotated else ''}",
        hint=_CHECK,
    )


def refuted_error(
    trials: Sequence[Trial], better: Sequence[Trial], given: Given, expected: Expected, tolerance: float
) -> ParityError:
    """Return the error for given parts that do not reproduce the expected answers, or less closely than others.

    Args:
        trials: The trials with the given parts, best first.
        better: The trials that reproduce the answers, best first.
        given: The given parts.
        expected: The expected answers.
        tolerance: Largest difference of a reproduced answer.
    """
    problem = "the given preprocessing does not reproduce the expected answers"
    if trials:
        best, result = trials[0].candidate.options(), _result(trials[0], expected, tolerance)
        problem += f"; the best with the given options, {best}, reproduces {result}"
        if trials[0].reproduced(tolerance) == len(expected):
            problem = f"another preprocessing reproduces the expected answers more closely than {best}: {result}"
    return ParityError(
        problem,
        hint=f"Use {better[0].candidate.options(with_fit=given.fit is not None)}, which reproduces "
        f"{_result(better[0], expected, tolerance)}",
    )


def is_rotated(path: Path) -> bool:
    """Return whether the EXIF data of an image require a rotation."""
    return bool(load_image(path).getexif().get(_ORIENTATION, 1) != 1)


def _result(trial: Trial, expected: Expected, tolerance: float) -> str:
    decoder = ", decoded by TensorFlow" if trial.decoder == "tensorflow" else ""
    largest = "" if expected.answers.probabilities is None else f" (largest difference {trial.largest:.1g}{decoder})"
    return f"{trial.reproduced(tolerance)} of {len(expected)}{largest}"
