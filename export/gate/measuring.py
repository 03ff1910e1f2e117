"""The gate at work: images, Keras's answers to them, and the figures of each file that was written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from camserve.export.frameworks import keras

import numpy as np
import numpy.typing as npt

from camserve.contract import ModelContract
from camserve.export.formats.half import LARGEST_HALF
from camserve.export.formats.runner import Runner
from camserve.export.formats.writing import OnnxSettings, WrittenGraph, open_format
from camserve.export.gate.agreement import measure_agreement
from camserve.export.gate.differences import probabilities_difference
from camserve.export.gate.examples import Example, examples_of
from camserve.export.gate.measurement_images import FEWEST, MeasurementImages, as_given
from camserve.export.gate.parity import BATCHES, Metric, measure
from camserve.export.gate.tolerances import Tolerances
from camserve.export.graph.prepare import Prepared
from camserve.export.graph.reference import Answers
from camserve.pixels import normalize

__all__ = ["Batch", "Gate", "measure_network"]

_HALF_PRECISION_ROUNDING = 1e-2


@dataclass(frozen=True)
class Batch:
    """Some images, as the network and as the exported graph take them, and what Keras says of them.

    Attributes:
        images: Float32 `[batch, height, width, channels]`, prepared by the contract.
        given: What the exported graph takes: the same, or the pixels where the graph prepares them itself.
        answers: Keras's answers.
    """

    images: npt.NDArray[np.float32]
    given: npt.NDArray[Any]
    answers: Answers


def measure_network(
    prepared: Prepared, images: npt.NDArray[np.float32], answers: Answers, budget: Tolerances
) -> list[Metric]:
    """The figures that concern the network before its conversion.

    Args:
        prepared: The classifier.
        images: A batch of prepared images.
        answers: What the reference says of them.
        budget: The bounds.
    """
    figures = [Metric("network", "unfolded", 0, prepared.foldable, 0)]
    if not (prepared.trained.norms or prepared.trained.noise):
        # Whether the network was read from the model rightly. A model built for training may answer otherwise.
        (said,) = keras.tree.flatten(prepared.model(images.astype(prepared.input_dtype), training=False))
        activation = prepared.served.activation
        bound = _HALF_PRECISION_ROUNDING if "16" in prepared.dtype else budget.of_probabilities(activation)
        difference = probabilities_difference(np.asarray(said, np.float64), answers, activation)
        figures.append(Metric("network", "reading", len(images), difference, bound))
    return figures


class Gate:
    """Measures what was written against Keras.

    Args:
        prepared: The classifier.
        contract: Its contract.
        images: What to measure on.
        budget: The bounds.
    """

    def __init__(
        self, prepared: Prepared, contract: ModelContract, images: MeasurementImages, budget: Tolerances
    ) -> None:
        self._prepared = prepared
        self._preprocessing = contract.preprocessing
        self._images = images
        self._budget = budget
        self._activation = prepared.served.activation
        self._kept: dict[tuple[int, int], Batch] = {}

    def figures(
        self, folder: Path, formats: Sequence[str], settings: OnnxSettings, graph: WrittenGraph | None
    ) -> list[Metric]:
        """Every figure: of the network that the formats are made of, and of each file as it was written.

        Args:
            folder: Where the files stand.
            formats: Which there are.
            settings: How the ONNX file was written.
            graph: What is known of the ONNX file; None if there is none.

        Raises:
            ConversionError: If a file cannot be opened.
        """
        batch = self._batch(*_spans(0, FEWEST)[1])
        figures = measure_network(self._prepared, batch.images, batch.answers, self._budget)
        for format_name in formats:
            run = open_format(folder, format_name)
            if format_name == "onnx" and settings.precision != "fp32":
                figures += self._of_lower_precision(format_name, run)
            else:
                figures += self._of_float32(format_name, run)
            if format_name == "onnx" and graph is not None and graph.largest_half is not None:
                figures.append(Metric(format_name, "half_range", 0, graph.largest_half, LARGEST_HALF))
        return figures

    def examples(self, run: Runner, labels: Sequence[str]) -> tuple[Example, ...]:
        """A few images with what Keras and an exported file say of them.

        Args:
            run: The file.
            labels: The lines of `labels.txt`.
        """
        begin = max(FEWEST - max(BATCHES), self._images.fillers)
        batch, shown = self._batch(begin, FEWEST), slice(begin, FEWEST)
        names = self._images.names[shown]
        return examples_of(self._images.pixels[shown], names, batch.answers, run(batch.given), labels)

    def _of_float32(self, format_name: str, run: Runner) -> list[Metric]:
        batches = [self._batch(*span) for span in _spans(0, FEWEST)]
        asked = [(batch.given, batch.answers) for batch in batches]
        return measure(format_name, run, asked, self._prepared.head, self._budget, activation=self._activation)

    def _of_lower_precision(self, format_name: str, run: Runner) -> list[Metric]:
        spans = _spans(self._images.fillers, len(self._images.pixels))
        asked = ((batch.given, batch.answers) for batch in (self._batch(*span) for span in spans))
        return measure_agreement(
            format_name, run, asked, self._prepared.head, self._budget, activation=self._activation
        )

    def _batch(self, begin: int, end: int) -> Batch:
        """The images from one place to another; the first ones, which are asked for again, are kept."""
        if (begin, end) in self._kept:
            return self._kept[begin, end]
        pixels = self._images.pixels[begin:end]
        images = normalize(pixels, self._preprocessing)
        batch = Batch(images, as_given(pixels, self._preprocessing), self._prepared.reference(images))
        if end <= FEWEST:
            self._kept[begin, end] = batch
        return batch


def _spans(begin: int, end: int) -> list[tuple[int, int]]:
    """From where to where each batch reaches: one of each size, then of the largest; the last may be smaller."""
    spans = []
    for size in chain(BATCHES, repeat(max(BATCHES))):
        if begin >= end:
            break
        spans.append((begin, min(begin + size, end)))
        begin += size
    return spans
