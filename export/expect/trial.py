"""Trials: how well each candidate reproduces the expected answers, measured with Keras before the export."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from camserve.export.frameworks import keras

import numpy as np
import numpy.typing as npt
from PIL import Image

from camserve.contract import Preprocessing
from camserve.expected_answers import ExpectedAnswers, Score
from camserve.export.expect.candidates import Candidate
from camserve.export.expect.expected import Expected
from camserve.export.expect.fitted import Decoder, decoders_of, fit_images, load_images
from camserve.export.graph.grouped_convolution import call_without_xla
from camserve.export.graph.inference import to_float32, to_inference_mode
from camserve.export.graph.network import Network, run
from camserve.pixels import normalize
from camserve.progress import Progress
from camserve.text import count

__all__ = ["Trial", "answers_of", "try_candidates"]

Array = npt.NDArray[Any]
Answers = Callable[[Array], Array]
"""Images float32 `[batch, height, width, channels]` to answers `[batch, classes]`."""

_BATCH = 32
_FIRST, _MOST = 1, 16  # images of the first stage, and of any; each further stage takes twice as many
_KEPT = 8
_KEPT_RATIO = 10


@dataclass
class Trial:
    """A candidate with its scores so far.

    Attributes:
        candidate: The pipeline.
        decoder: The decoder of JPEG files.
        differences: The largest difference of each image that was tried.
        squares: The sum of the squared differences of each.
        hashes: The pixels of each, as hashes.
    """

    candidate: Candidate
    decoder: Decoder = "pillow"
    differences: list[float] = field(default_factory=list)
    squares: list[float] = field(default_factory=list)
    hashes: list[int] = field(default_factory=list)

    def reproduced(self, tolerance: float) -> int:
        """Return the number of images whose answers are within the tolerance."""
        return sum(difference <= tolerance for difference in self.differences)

    @property
    def largest(self) -> float:
        """The largest difference."""
        return max(self.differences)

    @property
    def distance(self) -> float:
        """The root of the mean squared difference of an image."""
        return math.sqrt(sum(self.squares) / len(self.squares))


def answers_of(network: Network) -> Answers:
    """Return what runs a network in inference mode and float32, in batches."""
    inference = to_float32(to_inference_mode(network)[0])
    call = call_without_xla(inference)

    def answers(images: Array) -> Array:
        parts = (images[begin : begin + _BATCH] for begin in range(0, len(images), _BATCH))
        tensors = (keras.ops.convert_to_tensor(part, inference.dtype) for part in parts)
        outputs = (run(inference, part, [inference.output], call=call)[0] for part in tensors)
        return np.concatenate([np.asarray(output, np.float64) for output in outputs])

    return answers


def try_candidates(
    candidates: Sequence[Candidate],
    expected: Expected,
    shape: tuple[int, int, int],
    answers: Answers,
    *,
    tolerance: float,
    progress: Progress,
) -> list[Trial]:
    """Try candidates on more and more images, and drop those that are clearly worse than others on the way.

    Each image is decoded once and resized once for each filter and fit; presets are arithmetic on the result.

    Args:
        candidates: The candidates.
        expected: The expected answers.
        shape: Height, width and channels of the input.
        answers: Runs the network.
        tolerance: Largest difference of a reproduced answer.
        progress: Called with the name of each stage as it begins.

    Returns:
        The trials, best first; only the first few, and those that are about as good, have all images.
    """
    trials = [Trial(each, decoder) for each in candidates for decoder in decoders_of(each, expected.images)]
    running, begin = trials, 0
    while begin < len(expected) and running:
        images = slice(begin, min(begin + min(max(_FIRST, begin), _MOST), len(expected)))
        progress(f"compare {count(len(running), 'pipeline')} with {count(images.stop - begin, 'expected answer')}")
        running = _run_stage(running, expected, images, shape, answers)
        running.sort(key=lambda trial: _rank(trial, tolerance))
        running = [
            trial for place, trial in enumerate(running) if place < _KEPT or _may_win(trial, running[0], tolerance)
        ]
        begin = images.stop
    finished = [trial for trial in running if len(trial.differences) == len(expected)]
    return _best_of_each(sorted(finished, key=lambda trial: _rank(trial, tolerance)))


def _rank(trial: Trial, tolerance: float) -> tuple[float, ...]:
    return (-trial.reproduced(tolerance), trial.distance, trial.largest)


def _may_win(trial: Trial, best: Trial, tolerance: float) -> bool:
    return trial.reproduced(tolerance) == len(trial.differences) and trial.distance <= _KEPT_RATIO * best.distance


def _run_stage(
    trials: Sequence[Trial], expected: Expected, images: slice, shape: tuple[int, int, int], answers: Answers
) -> list[Trial]:
    """Add the scores of images to trials; a trial whose fit cannot be applied to one is dropped."""
    decoded: dict[Decoder, list[Image.Image]] = {}
    fitted: dict[Any, Array | None] = {}
    inputs: dict[Any, tuple[Array, Preprocessing]] = {}  # other filters and fits may give the same pixels
    keys: dict[int, Any] = {}
    for number, trial in enumerate(trials):
        preprocessing, decoder = trial.candidate.preprocessing, trial.decoder
        if decoder not in decoded:
            decoded[decoder] = load_images(expected.images[images], preprocessing.color, decoder)
        geometry = (*trial.candidate.geometry, decoder)
        if geometry not in fitted:
            fitted[geometry] = fit_images(decoded[decoder], shape, preprocessing)
        pixels = fitted[geometry]
        if pixels is not None:
            hashes = [hash(np.asarray(image, np.float32).tobytes()) for image in pixels]
            trial.hashes += hashes
            keys[number] = (preprocessing.color, preprocessing.arithmetic, *hashes)
            inputs.setdefault(keys[number], (pixels, preprocessing))
    scores = _scores(inputs, expected.answers.take(images), answers)
    for number, key in keys.items():
        trials[number].differences += scores[key].differences.tolist()
        trials[number].squares += scores[key].squares.tolist()
    return [trials[number] for number in keys]


def _scores(
    inputs: Mapping[Any, tuple[Array, Preprocessing]], wanted: ExpectedAnswers, answers: Answers
) -> dict[Any, Score]:
    """Return the score of each input; the network runs on several inputs at once."""
    scores = {}
    for keys in _batched(inputs, max(1, _BATCH // len(wanted))):
        found = answers(np.concatenate([normalize(*inputs[key]) for key in keys]))
        for key, part in zip(keys, np.split(found, len(keys)), strict=True):
            scores[key] = wanted.score(part)
    return scores


def _batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield the items in lists of a size."""
    remaining = list(items)
    for begin in range(0, len(remaining), size):
        yield remaining[begin : begin + size]


def _best_of_each(trials: Sequence[Trial]) -> list[Trial]:
    """Return the better one of two decoders for each candidate."""
    best: dict[Candidate, Trial] = {}
    for trial in trials:
        best.setdefault(trial.candidate, trial)
    return list(best.values())
