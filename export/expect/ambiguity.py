"""The error for expected answers that several pipelines reproduce equally well, and what would settle it."""

from __future__ import annotations

from collections.abc import Sequence

from camserve.errors import ParityError
from camserve.export.expect.expected import Expected
from camserve.export.expect.trial import Trial, load_images
from camserve.text import count

__all__ = ["ambiguity_error"]

_SHOWN = 8


def ambiguity_error(
    trials: Sequence[Trial], expected: Expected, shape: tuple[int, int, int], tolerance: float
) -> ParityError:
    """Return the error.

    Args:
        trials: The trials of the pipelines.
        expected: The expected answers.
        shape: Height, width and channels of the input.
        tolerance: Largest difference of a reproduced answer.
    """
    names = [trial.candidate.options(with_fit=True) for trial in trials]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ParityError(
        f"{count(len(trials), 'combination')} reproduce {trials[0].reproduced(tolerance)} of {len(expected)} expected "
        f"answers equally well{_why(trials)}: {'; '.join(names[:_SHOWN])}{more}",
        hint=f"{_remedy(trials, expected, shape)}, or choose one of them with its options",
    )


def _why(trials: Sequence[Trial]) -> str:
    return ", because they give the same pixels" if _same_pixels(trials) else ""


def _same_pixels(trials: Sequence[Trial]) -> bool:
    return all(trial.hashes == trials[0].hashes for trial in trials)


def _remedy(trials: Sequence[Trial], expected: Expected, shape: tuple[int, int, int]) -> str:
    height, width, _ = shape
    fits = {trial.candidate.preprocessing.fit for trial in trials}
    filters = {trial.candidate.preprocessing.resize for trial in trials}
    sizes = [image.size for image in load_images(expected, trials[0].candidate.preprocessing, slice(None))]
    if _same_pixels(trials) and set(sizes) == {(width, height)}:
        return f"Add an image of another size and aspect ratio than {width}x{height}"
    if len(fits) > 1 and len(filters) == 1 and all(size[0] * height == size[1] * width for size in sizes):
        return f"Add an image of another aspect ratio than {width}:{height}"
    if expected.probabilities is None:
        return "Expect probabilities instead of classes, with one column for each class"
    if any(path.suffix.lower() in (".jpg", ".jpeg") for path in expected.images):
        return "Expect answers to PNG files, which every library decodes alike"
    return "Add images with fine detail"
