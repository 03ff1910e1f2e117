"""The error for expected answers that several pipelines reproduce equally well, and what would settle it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from camserve.errors import ParityError
from camserve.export.expect.expected import Expected
from camserve.export.expect.fitted import fit_images
from camserve.export.expect.trial import Trial
from camserve.text import count

__all__ = ["ambiguity_error", "without_equivalents"]

_SHOWN = 8
_SIZES = 200


def without_equivalents(trials: Sequence[Trial], shape: tuple[int, int, int]) -> list[Trial]:
    """Return the trials without those whose pixels are always equal to those of an earlier one.

    Pillow's and TensorFlow's nearest differ by rounding, which never shows for some sizes of the input.
    """
    kept: list[Trial] = []
    for trial in trials:
        alike = [earlier for earlier in kept if _same_pixels([earlier, trial])]
        if all(_telling_size([earlier, trial], shape) for earlier in alike):
            kept.append(trial)
    return kept


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
    if _same_pixels(trials) and (size := _telling_size(trials, shape)):
        return f"Add the answer to an image of {size[0]}x{size[1]} pixels with fine detail, on which they differ"
    if expected.answers.probabilities is None:
        return "Expect probabilities instead of classes, with one column for each class"
    if any(path.suffix.lower() in (".jpg", ".jpeg") for path in expected.images):
        return "Expect answers to PNG files, which every library decodes alike"
    return "Add answers to images with fine detail"


def _telling_size(trials: Sequence[Trial], shape: tuple[int, int, int]) -> tuple[int, int] | None:
    """Return the width and height of an image for which the pipelines give different pixels."""
    height, width, channels = shape
    for more in range(_SIZES):
        size = (width * 5 // 4 + more, height * 5 // 4)
        noise = np.random.default_rng(more).integers(0, 256, (size[1], size[0], channels), np.uint8)
        image = Image.fromarray(noise[..., 0] if channels == 1 else noise)
        pixels = [fit_images([image], shape, trial.candidate.preprocessing) for trial in trials]
        if len({None if each is None else np.asarray(each, np.float32).tobytes() for each in pixels}) == len(trials):
            return size
    return None
