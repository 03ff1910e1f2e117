"""Measure every exported file against Keras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.answer_differences import probability_difference
from camserve.choices import Precision
from camserve.contract import ModelContract
from camserve.export.formats.half import LARGEST_HALF
from camserve.export.formats.runner import Runner
from camserve.export.gate.agreement import measure_agreement
from camserve.export.gate.examples import Example, choose_examples
from camserve.export.gate.measurement_images import FP32_IMAGES, MeasurementImages
from camserve.export.gate.metric import Metric
from camserve.export.gate.parity import BATCHES, measure_parity
from camserve.export.gate.tolerances import Tolerances
from camserve.export.graph.prepare import Prepared
from camserve.export.graph.reference import ReferenceOutputs
from camserve.pixels import graph_input, normalize

__all__ = ["Gate", "measure_network"]

_HALF_PRECISION_ROUNDING = 1e-2


@dataclass(frozen=True)
class _Batch:
    """A batch of images with Keras's answers.

    Attributes:
        images: The input of the Keras network, float32 `[batch, height, width, channels]`.
        inputs: The input of the exported graph: the same, or uint8 pixels if the graph preprocesses them.
        answers: Keras's answers.
    """

    images: npt.NDArray[np.float32]
    inputs: npt.NDArray[Any]
    answers: ReferenceOutputs


def measure_network(
    prepared: Prepared, images: npt.NDArray[np.float32], answers: ReferenceOutputs, tolerances: Tolerances
) -> list[Metric]:
    """Measure the network before its conversion: BatchNorm layers that were not folded, and how far tracing changed it.

    Args:
        prepared: The classifier.
        images: A batch of network inputs.
        answers: The reference's answers to them.
        tolerances: The tolerances.
    """
    activation = prepared.served.activation
    tolerance = _HALF_PRECISION_ROUNDING if "16" in prepared.dtype else tolerances.of_probabilities(activation)
    difference = probability_difference(
        prepared.predict(images).astype(np.float64), answers.probabilities, answers.logits, activation
    )
    return [
        Metric("network", "unfolded", 0, prepared.foldable, 0),
        Metric("network", "reading", len(images), difference, tolerance),
    ]


class Gate:
    """Measures exported files against Keras.

    Args:
        prepared: The classifier.
        contract: Its contract.
        images: The images to measure on.
        tolerances: The tolerances.
    """

    def __init__(
        self, prepared: Prepared, contract: ModelContract, images: MeasurementImages, tolerances: Tolerances
    ) -> None:
        self._prepared = prepared
        self._preprocessing = contract.preprocessing
        self._images = images
        self._tolerances = tolerances
        self._activation = prepared.served.activation
        self._fp32_batches: dict[tuple[int, int], _Batch] = {}

    def measure(
        self, runners: Mapping[str, Runner], precision: Precision, largest_half: float | None = None
    ) -> list[Metric]:
        """Measure the network that the files were converted from, and each file.

        Args:
            runners: Runs the file of each format.
            precision: Precision of the ONNX file.
            largest_half: The largest activation of those that were converted to half precision, if any were.
        """
        batch = self._batch(*_spans(0, FP32_IMAGES)[1])
        metrics = measure_network(self._prepared, batch.images, batch.answers, self._tolerances)
        for format_name, run in runners.items():
            lower = format_name == "onnx" and precision != "fp32"
            metrics += (
                self._measure_lower_precision(format_name, run) if lower else self._measure_fp32(format_name, run)
            )
            if format_name == "onnx" and largest_half is not None:
                metrics.append(Metric(format_name, "half_range", 0, largest_half, LARGEST_HALF))
        return metrics

    def examples(self, run: Runner, labels: Sequence[str]) -> tuple[Example, ...]:
        """Choose a few images with the answers of Keras and of an exported file.

        Args:
            run: Runs the file.
            labels: The lines of `labels.txt`.
        """
        begin = max(FP32_IMAGES - max(BATCHES), self._images.fillers)
        batch, shown = self._batch(begin, FP32_IMAGES), slice(begin, FP32_IMAGES)
        names = self._images.names[shown]
        return choose_examples(self._images.pixels[shown], names, batch.answers, run(batch.inputs), labels)

    def _measure_fp32(self, format_name: str, run: Runner) -> list[Metric]:
        batches = [self._batch(*span) for span in _spans(0, FP32_IMAGES)]
        pairs = [(batch.inputs, batch.answers) for batch in batches]
        return measure_parity(
            format_name, run, pairs, self._prepared.head, self._tolerances, activation=self._activation
        )

    def _measure_lower_precision(self, format_name: str, run: Runner) -> list[Metric]:
        spans = _spans(self._images.fillers, len(self._images.pixels))
        pairs = ((batch.inputs, batch.answers) for batch in (self._batch(*span) for span in spans))
        return measure_agreement(
            format_name, run, pairs, self._prepared.head, self._tolerances, activation=self._activation
        )

    def _batch(self, begin: int, end: int) -> _Batch:
        """Return a range of the images with their answers; batches of fp32, which are used again, are kept."""
        if (begin, end) in self._fp32_batches:
            return self._fp32_batches[begin, end]
        pixels = self._images.pixels[begin:end]
        images = normalize(pixels, self._preprocessing)
        batch = _Batch(images, graph_input(pixels, self._preprocessing), self._prepared.reference(images))
        if end <= FP32_IMAGES:
            self._fp32_batches[begin, end] = batch
        return batch


def _spans(begin: int, end: int) -> list[tuple[int, int]]:
    """Return the bounds of each batch: one of each size, then of the largest; the last may be smaller."""
    spans = []
    for size in chain(BATCHES, repeat(max(BATCHES))):
        if begin >= end:
            break
        spans.append((begin, min(begin + size, end)))
        begin += size
    return spans
