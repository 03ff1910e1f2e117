"""The check of an export from image file to answer, and the golden images that repeat it in serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from camserve.choices import Precision
from camserve.contract import ModelContract, Preprocessing
from camserve.errors import ParityError
from camserve.expected_answers import both_classes
from camserve.export.expect.expected import Expected, resolve_expected
from camserve.export.expect.expected_file import read_expected
from camserve.export.expect.expected_tolerances import check_expected_tolerances
from camserve.export.expect.find import find_pipeline
from camserve.export.formats.onnx_settings import lower_format
from camserve.export.formats.runner import Runner
from camserve.export.gate.metric import Metric
from camserve.export.gate.tolerances import Limit, Tolerances
from camserve.export.graph.head import split_logits
from camserve.export.graph.network import Network
from camserve.export.options import ExportOptions
from camserve.export.source.load import Source
from camserve.golden_images import MAX_BYTES, MAX_IMAGES, GoldenImages, write_golden_images
from camserve.images.loading import load_image
from camserve.images.preprocess import prepare
from camserve.labels import parse_labels
from camserve.progress import Progress
from camserve.tensors import PROBABILITIES
from camserve.text import count

__all__ = ["EndToEnd", "find_expected"]

_BATCH = 8
_SEARCHED = 64  # images; the export is measured on all
_SLACK = 1.1


@dataclass(frozen=True)
class EndToEnd:
    """Expected answers with the pipeline that reproduces them.

    Attributes:
        expected: The image files with their expected answers.
        preprocessing: The preprocessing of the pipeline.
        summary: How well the pipeline reproduces the answers, for the report.
        precision: Precision of the export.
        tolerances: The tolerances.
    """

    expected: Expected
    preprocessing: Preprocessing
    summary: str
    precision: Precision
    tolerances: Tolerances

    def measure(self, runners: Mapping[str, Runner], contract: ModelContract) -> list[Metric]:
        """Classify the image files with each exported file, decoded and preprocessed as by clients.

        Args:
            runners: Runs the file of each format.
            contract: The contract of the export.

        Raises:
            ParityError: If the answers of a file are not the expected ones.
        """
        metrics, images = [], len(self.expected)
        for format_name, run in runners.items():
            largest, others = self._compare(run, contract)
            limit = self._limit(format_name)
            metrics.append(Metric.limited(format_name, "end_to_end", images, largest, limit))
            if limit.option != "end_to_end":
                share = self.tolerances.limit("top1_disagreement")
                metrics.append(Metric.share(format_name, "end_to_end_class", others, images, share))
        failed = [metric for metric in metrics if not metric.passed]
        if failed:
            raise ParityError(
                "the export does not give the expected answers to the image files: "
                + "; ".join(f"{each.format} differs by {each.value:.2g} > {each.tolerance:.2g}" for each in failed),
                hint=_hint(failed),
            )
        return metrics

    def store_images(self, path: Path) -> tuple[str, ...]:
        """Write the golden images: the first ones within the limits of a bundle.

        Returns:
            Notes for the report: the pipeline, and how many images are stored.
        """
        chosen: list[int] = []
        files: list[bytes] = []
        for number, image in enumerate(self.expected.images):
            if len(files) < MAX_IMAGES and sum(map(len, files)) + image.stat().st_size <= MAX_BYTES:
                chosen.append(number)
                files.append(image.read_bytes())
        if files:
            names = tuple(self.expected.names[number] for number in chosen)
            answers, limit = self.expected.answers.take(chosen), self._limit(lower_format(self.precision) or "onnx")
            write_golden_images(path, GoldenImages(names, tuple(files), answers, limit.value))
        sampled = f", of {len(self.expected):,} evenly spaced" if len(self.expected) > _SEARCHED else ""
        return (
            f"expected answers: {self.summary}{sampled}",
            f"golden images: {len(files)} of {count(len(self.expected), 'image')} with expected answers are in the "
            "bundle, and publishing repeats the check on them",
        )

    def _limit(self, format_name: str) -> Limit:
        if format_name == lower_format(self.precision):
            return self.tolerances.of_lower_precision("probabilities", format_name)
        return self.tolerances.limit("end_to_end")

    def _compare(self, run: Runner, contract: ModelContract) -> tuple[float, int]:
        """Return the largest difference, and the number of images of another class."""
        largest, others = 0.0, 0
        for begin in range(0, len(self.expected), _BATCH):
            images = slice(begin, begin + _BATCH)
            tensors = np.stack([prepare(load_image(path), contract) for path in self.expected.images[images]])
            found = np.asarray(run(tensors)[PROBABILITIES])
            answers = self.expected.answers.take(images)
            largest = max(largest, float(answers.score(found).differences.max()))
            others += int((both_classes(found).argmax(axis=1) != answers.classes).sum())
        return largest, others


def find_expected(source: Source, network: Network, options: ExportOptions, progress: Progress) -> EndToEnd | None:
    """Read the expected answers and find the pipeline that reproduces them; None if no answers are given.

    Args:
        source: The loaded classifier.
        network: The classifier as it was traced.
        options: The options.
        progress: Called with the name of each phase as it begins.

    Raises:
        UsageError: If the answers cannot be used, a tolerance accepts every answer, or an image cannot be decoded.
        ParityError: As `find_pipeline`.
    """
    if options.expect is None:
        return None
    labels = source.labels if options.labels is None else parse_labels(options.labels)
    _, _, activation = split_logits(network)
    answers = read_expected(options.expect)
    check_expected_tolerances(options, activation, probabilities=answers.probabilities is not None)
    expected = resolve_expected(answers, int(network.output.shape[-1] or 0), labels)
    found = find_pipeline(network, source.preprocessing, expected.sample(_SEARCHED), options, progress)
    return EndToEnd(expected, found.preprocessing, found.summary, options.onnx.precision, options.tolerances)


def _hint(failed: Sequence[Metric]) -> str:
    """Return the likely cause, and the options that accept the differences."""
    needed = {str(each.option): each.value for each in sorted(failed, key=lambda each: each.value)}
    cause = (
        "Compare the decoders: clients decode JPEG files with Pillow, and as TensorFlow does only with --fast-jpeg"
        if set(needed) == {"end_to_end"}
        else "Choose a higher precision: this one changes the answers"
    )
    bounds = " ".join(f"--bound {name}={value * _SLACK:.2g}" for name, value in needed.items())
    return f"{cause}. To accept the difference, pass {bounds}"
