"""Measure every exported file against the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.answer_differences import probability_difference
from camserve.choices import Precision
from camserve.contract import ModelContract
from camserve.export.formats.half import LARGEST_HALF
from camserve.export.formats.onnx_settings import lower_format
from camserve.export.formats.runner import Runner
from camserve.export.gate.agreement import measure_agreement
from camserve.export.gate.determined import undetermined_metric, with_determined
from camserve.export.gate.examples import Example, choose_examples
from camserve.export.gate.measurement_images import FP32_IMAGES, MeasurementImages
from camserve.export.gate.metric import Metric, MetricName
from camserve.export.gate.parity import BATCHES, fp32_limits, largest_differences, measure_parity
from camserve.export.gate.tolerances import Limit, Tolerances
from camserve.export.graph.exact import find_truth
from camserve.export.graph.prepare import Prepared
from camserve.export.graph.reference import KerasReference, ReferenceOutputs
from camserve.pixels import graph_input, normalize

__all__ = ["Gate", "MeasuredBatch", "measure_network"]

_HALF_PRECISION_ROUNDING = 1e-2


@dataclass(frozen=True)
class MeasuredBatch:
    """A batch of images with the network's answers.

    Attributes:
        images: The input of the Keras network, float32 `[batch, height, width, channels]`.
        inputs: The input of the exported graph: the same, or uint8 pixels if the graph preprocesses them.
        answers: The network's answers.
    """

    images: npt.NDArray[np.float32]
    inputs: npt.NDArray[Any]
    answers: ReferenceOutputs


def measure_network(
    prepared: Prepared,
    images: npt.NDArray[np.float32],
    answers: ReferenceOutputs,
    tolerances: Tolerances,
    noise: float | None = None,
) -> list[Metric]:
    """Measure the network before its conversion: BatchNorm layers that were not folded, and how far tracing changed it.

    Args:
        prepared: The classifier.
        images: A batch of network inputs.
        answers: The answers of the traced network to them.
        tolerances: The tolerances.
        noise: The rounding of the traced network's probabilities in float32, if the answers are in float64. The answers
            of the model itself, which may be run by another library, round as much.
    """
    activation = prepared.served.activation
    limit = tolerances.of_probabilities(activation, noise)
    if "16" in prepared.dtype:
        limit = Limit(_HALF_PRECISION_ROUNDING, _HALF_PRECISION_ROUNDING)
    difference = probability_difference(
        prepared.predict(images).astype(np.float64), answers.probabilities, answers.logits, activation
    )
    return [
        Metric("network", "unfolded", 0, prepared.foldable, 0),
        Metric.limited("network", "reading", len(images), difference, limit),
    ]


class Gate:
    """Measures exported files against the network.

    fp32 is measured against the network in float64, or in the precision of the model where it cannot be evaluated in
    float64; a lower precision, whose rounding is far larger, against the network in the precision of the model.

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
        self.truth = find_truth(prepared.reference, normalize(images.pixels[:1], self._preprocessing))

    def measure(
        self, runners: Mapping[str, Runner], precision: Precision, largest_half: float | None = None
    ) -> list[Metric]:
        """Measure the network that the files were converted from, and each file.

        Args:
            runners: Runs the file of each format.
            precision: Precision of the export.
            largest_half: The largest activation of those that were converted to half precision, if any were.
        """
        batch, noise = self.batches[1], self.noise
        metrics = measure_network(
            self._prepared, batch.images, batch.answers, self._tolerances, noise.get("probabilities")
        )
        metrics += undetermined_metric([each.answers for each in self.batches])
        for format_name, run in runners.items():
            lower = format_name == lower_format(precision)
            metrics += self.measure_lower_precision(format_name, run) if lower else self.measure_fp32(format_name, run)
            if format_name == "onnx" and largest_half is not None:
                metrics.append(Metric(format_name, "half_range", 0, largest_half, LARGEST_HALF))
        return metrics

    def measure_fp32(self, format_name: str, run: Runner) -> list[Metric]:
        """Measure a file in float32.

        Args:
            format_name: `onnx` or `savedmodel`.
            run: Runs the file.
        """
        return measure_parity(
            format_name,
            run,
            [(batch.inputs, batch.answers) for batch in self.batches],
            self._prepared.head,
            self._tolerances,
            activation=self._activation,
            noise=self.noise,
        )

    def measure_lower_precision(self, format_name: str, run: Runner) -> list[Metric]:
        """Measure a file in half precision, bf16 or int8.

        Args:
            format_name: `onnx`, or `openvino` for bf16.
            run: Runs the file.
        """
        spans = _spans(self._images.fillers, len(self._images.pixels))
        batches = (self._batch(*span, self._prepared.reference) for span in spans)
        pairs = ((batch.inputs, batch.answers) for batch in batches)
        return measure_agreement(
            format_name, run, pairs, self._prepared.head, self._tolerances, activation=self._activation
        )

    def examples(self, run: Runner, labels: Sequence[str]) -> tuple[Example, ...]:
        """Choose a few images with the answers of the network and of an exported file.

        Args:
            run: Runs the file.
            labels: The lines of `labels.txt`.
        """
        begin = max(FP32_IMAGES - max(BATCHES), self._images.fillers)
        batch, shown = self._batch(begin, FP32_IMAGES, self.truth.exact), slice(begin, FP32_IMAGES)
        names = self._images.names[shown]
        return choose_examples(self._images.pixels[shown], names, batch.answers, run(batch.inputs), labels)

    @property
    def warnings(self) -> tuple[str, ...]:
        """A warning if the images cannot reveal faults: the gate would accept the answers to the next image."""
        batch = self.batches[-1]
        differences = largest_differences([(batch.answers, _of_next_image(batch.answers))], None, self._activation)
        limits = fp32_limits(self._tolerances, self._activation, self.noise)
        if any(difference > limits[name].value for name, difference in differences.items()):
            return ()
        return (
            f"the network's answers to {len(batch.images)} different images are equal within the tolerances, so that "
            "parity on these cannot reveal a fault: measure on images that it distinguishes with --calibration DIR",
        )

    @cached_property
    def noise(self) -> Mapping[MetricName, float]:
        """The value of each metric for Keras's own float32 answers to the images and their mirrored copies.

        The largest rounding of a few images varies from sample to sample; twice as many images estimate it better.
        Empty without float64.
        """
        if self.truth.obstacle:
            return {}
        cam = self._prepared.served.cam
        top_k = cam.top_k if cam is not None and not cam.all_classes else None
        pairs = [(batch.answers, answers) for batch, answers in zip(self.batches, self.keras_answers, strict=True)]
        for batch in self.batches:
            mirrored = np.ascontiguousarray(np.flip(batch.images, axis=2))
            answers = self.truth.keras(mirrored)
            pairs.append((with_determined(self.truth.exact(mirrored), answers), answers))
        return largest_differences(pairs, top_k, self._activation)

    @cached_property
    def batches(self) -> list[MeasuredBatch]:
        """The batches that fp32 is measured on."""
        if self._exact_batches[0].answers.tape is None:
            return self._exact_batches
        return [
            replace(batch, answers=with_determined(batch.answers, answers))
            for batch, answers in zip(self._exact_batches, self.keras_answers, strict=True)
        ]

    @cached_property
    def keras_answers(self) -> list[ReferenceOutputs]:
        """Keras's own float32 answers to each of these batches."""
        return [self.truth.keras(batch.images) for batch in self._exact_batches]

    @cached_property
    def _exact_batches(self) -> list[MeasuredBatch]:
        return [self._batch(*span, self.truth.exact) for span in _spans(0, FP32_IMAGES)]

    def _batch(self, begin: int, end: int, reference: KerasReference) -> MeasuredBatch:
        """Return a range of the images with the answers to them."""
        pixels = self._images.pixels[begin:end]
        images = normalize(pixels, self._preprocessing)
        return MeasuredBatch(images, graph_input(pixels, self._preprocessing), reference(images))


def _of_next_image(answers: ReferenceOutputs) -> ReferenceOutputs:
    maps = None if answers.maps is None else np.roll(answers.maps, 1, axis=0)
    return ReferenceOutputs(np.roll(answers.probabilities, 1, axis=0), np.roll(answers.logits, 1, axis=0), maps)


def _spans(begin: int, end: int) -> list[tuple[int, int]]:
    """Return the bounds of each batch: one of each size, then of the largest; the last may be smaller."""
    spans = []
    for size in chain(BATCHES, repeat(max(BATCHES))):
        if begin >= end:
            break
        spans.append((begin, min(begin + size, end)))
        begin += size
    return spans
