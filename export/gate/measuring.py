"""The gate at work: pictures, Keras's answers to them, and the figures of each file that was written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.contract import ModelContract, Preprocessing
from camserve.export.formats.half import LARGEST_HALF
from camserve.export.formats.runner import Runner
from camserve.export.formats.writing import OnnxSettings, WrittenGraph, open_format
from camserve.export.gate.agreement import measure_agreement
from camserve.export.gate.calibration import Calibration
from camserve.export.gate.examples import Example, examples_of
from camserve.export.gate.parity import BATCHES, Budget, Figure, measure
from camserve.export.gate.samples import sample_pictures
from camserve.export.graph.prepare import Prepared
from camserve.export.graph.reference import Answers
from camserve.pixels import normalize

__all__ = ["Batch", "Gate", "Pictures", "as_given", "measure_network", "pictures_to_measure_on"]

_FEWEST = sum(BATCHES)
_SAMPLES = 64
_HALF_PRECISION_ROUNDING = 1e-2


@dataclass(frozen=True)
class Pictures:
    """What parity is measured on.

    Attributes:
        pixels: uint8 `[n, height, width, channels]`, RGB or gray; n is at least the sum of `BATCHES`.
        names: What each is called.
    """

    pixels: npt.NDArray[np.uint8]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """Some pictures, as the network and as the exported graph take them, and what Keras says of them.

    Attributes:
        images: Float32 `[batch, height, width, channels]`, prepared by the contract.
        given: What the exported graph takes: the same, or the pixels where the graph prepares them itself.
        answers: Keras's answers.
    """

    images: npt.NDArray[np.float32]
    given: npt.NDArray[Any]
    answers: Answers


def pictures_to_measure_on(contract: ModelContract, calibration: Calibration | None) -> Pictures:
    """The pictures that were held out of the calibration, filled up with others where they are few; else drawn ones."""
    if calibration is None:
        names = tuple(f"sample {number}" for number in range(1, _SAMPLES + 1))
        return Pictures(sample_pictures(_SAMPLES, *contract.input.shape), names)
    missing = max(0, _FEWEST - len(calibration.held_out))
    again = np.resize(np.arange(len(calibration.fit)), missing)
    pixels = np.concatenate([calibration.held_out, calibration.fit[again]])
    return Pictures(pixels, (*calibration.held_out_names, *(calibration.fit_names[place] for place in again)))


def as_given(pixels: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> npt.NDArray[Any]:
    """Pixels as the exported graph takes them: as they are if it prepares them itself, else prepared."""
    return pixels if preprocessing.in_graph else normalize(pixels, preprocessing)


def measure_network(
    prepared: Prepared, images: npt.NDArray[np.float32], answers: Answers, budget: Budget
) -> list[Figure]:
    """The figures that concern the network before its conversion.

    Args:
        prepared: The classifier.
        images: A batch of prepared images.
        answers: What the reference says of them.
        budget: The bounds.
    """
    figures = [Figure("network", "unfolded", 0, prepared.foldable, 0)]
    if not (prepared.trained.norms or prepared.trained.noise):
        # Whether the network was read from the model rightly. A model built for training may answer otherwise.
        said = np.asarray(prepared.model(images.astype(prepared.input_dtype), training=False), np.float64)
        bound = _HALF_PRECISION_ROUNDING if "16" in prepared.dtype else budget.probabilities
        difference = float(np.max(np.abs(said - answers.probabilities)))
        figures.append(Figure("network", "reading", len(images), difference, bound))
    return figures


class Gate:
    """Measures what was written against Keras.

    Args:
        prepared: The classifier.
        contract: Its contract.
        pictures: What to measure on.
        budget: The bounds.
    """

    def __init__(self, prepared: Prepared, contract: ModelContract, pictures: Pictures, budget: Budget) -> None:
        self._prepared = prepared
        self._preprocessing = contract.preprocessing
        self._pictures = pictures
        self._budget = budget

    def figures(
        self, folder: Path, formats: Sequence[str], settings: OnnxSettings, graph: WrittenGraph | None
    ) -> list[Figure]:
        """Every figure: of the network that the formats are made of, and of each file as it was written.

        Args:
            folder: Where the files stand.
            formats: Which there are.
            settings: How the ONNX file was written.
            graph: What is known of the ONNX file; None if there is none.

        Raises:
            ConversionError: If a file cannot be opened.
        """
        batch = self._batches[1]
        figures = measure_network(self._prepared, batch.images, batch.answers, self._budget)
        for format_name in formats:
            run = open_format(folder, format_name)
            if format_name == "onnx" and settings.precision != "fp32":
                figures += self._of_lower_precision(format_name, run)
            else:
                figures += self._of_float32(format_name, run)
            if format_name == "onnx" and graph is not None and graph.largest_half is not None:
                figures.append(Figure(format_name, "half_range", 0, graph.largest_half, LARGEST_HALF))
        return figures

    def examples(self, run: Runner, labels: Sequence[str]) -> tuple[Example, ...]:
        """A few pictures with what Keras and an exported file say of them.

        Args:
            run: The file.
            labels: The lines of `labels.txt`.
        """
        batch, shown = self._batches[-1], slice(_FEWEST - max(BATCHES), _FEWEST)
        names = self._pictures.names[shown]
        return examples_of(self._pictures.pixels[shown], names, batch.answers, run(batch.given), labels)

    def _of_float32(self, format_name: str, run: Runner) -> list[Figure]:
        batches = [(batch.given, batch.answers) for batch in self._batches]
        return measure(format_name, run, batches, self._prepared.head, self._budget)

    def _of_lower_precision(self, format_name: str, run: Runner) -> list[Figure]:
        batches = ((batch.given, batch.answers) for batch in self._all())
        return measure_agreement(format_name, run, batches, self._prepared.head, self._budget)

    @cached_property
    def _batches(self) -> list[Batch]:
        """A batch of each of the sizes that are measured."""
        ends = np.cumsum(BATCHES)
        return [self._ask_keras(int(end) - size, int(end)) for size, end in zip(BATCHES, ends, strict=True)]

    def _all(self) -> Iterator[Batch]:
        yield from self._batches
        for begin in range(_FEWEST, len(self._pictures.pixels), max(BATCHES)):
            yield self._ask_keras(begin, begin + max(BATCHES))

    def _ask_keras(self, begin: int, end: int) -> Batch:
        pixels = self._pictures.pixels[begin:end]
        images = normalize(pixels, self._preprocessing)
        return Batch(images, as_given(pixels, self._preprocessing), self._prepared.reference(images))
