"""The steps of the demo."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from camserve.atomic import replace_file
from camserve.clients import Classification, Classifier
from camserve.demo.digits import load_digits, train, write_images
from camserve.demo.gallery import LabeledResult, gallery
from camserve.errors import ExportError, ParityError
from camserve.progress import Progress
from camserve.serving import TritonServer, publish

__all__ = ["DemoResult", "run_demo"]

MODEL_NAME = "digits"
_RECIPE = "resnet-mini"
_LARGEST_DIFFERENCE = 1e-5
_LEAST_ACCURACY = 0.97


@dataclass(frozen=True)
class DemoResult:
    """The results of the demo.

    Attributes:
        images: Number of held-out digits that were sent to the server.
        correct: How many of them were classified correctly.
        same_class: How many of them have the same best class as in Keras.
        largest_difference: Largest difference of a probability between the server and Keras.
        training_seconds: Duration of the training.
        images_per_second: Images classified per second, one at a time, with their maps.
        version: Version under which the network was published.
        repository: The model repository.
        gallery: The page with images and maps.
    """

    images: int
    correct: int
    same_class: int
    largest_difference: float
    training_seconds: float
    images_per_second: float
    version: int
    repository: Path
    gallery: Path

    @property
    def accuracy(self) -> float:
        """Share of the held-out digits that were classified correctly."""
        return self.correct / self.images


def run_demo(work: Path, repository: Path, progress: Progress) -> DemoResult:
    """Train a small residual network on handwritten digits, then export, publish and serve it and classify with it.

    Args:
        work: Folder for the images, the bundle and the gallery.
        repository: Model repository to publish into.
        progress: Called with the name of each phase as it begins.

    Raises:
        ExportError: If the accuracy of the network is too low.
        ParityError: If the answers of the server differ from those of Keras.
        CamserveError: If any step fails.
    """
    progress("load TensorFlow")
    from camserve.export import RECIPES, export_model
    from camserve.export.option_checks import check_destination

    check_destination(work / "bundle")
    recipe, digits = RECIPES[_RECIPE], load_digits()
    progress(f"train {_RECIPE} on {len(digits.images):,} handwritten digits")
    started = time.monotonic()
    network = train(recipe.build, digits)
    training_seconds = time.monotonic() - started
    bundle = export_model(
        network,
        work / "bundle",
        name=MODEL_NAME,
        preprocessing=recipe.preprocessing,
        labels=recipe.labels,
        progress=lambda phase: progress(f"export: {phase}"),
    )
    progress(f"publish into {repository}")
    publication = publish(bundle, repository)
    paths = write_images(digits.held_out_images, digits.held_out_classes, work / "held-out")
    answers, seconds = _classify(repository, paths, progress)
    progress("compare with Keras, draw the gallery")
    expected = _predict_with_keras(network, paths)
    probabilities = np.stack([answer.probabilities for answer in answers])
    shown = [LabeledResult(answer, int(digit)) for answer, digit in zip(answers, digits.held_out_classes, strict=True)]
    result = DemoResult(
        images=len(paths),
        correct=sum(item.is_correct for item in shown),
        same_class=int(np.sum(probabilities.argmax(axis=1) == expected.argmax(axis=1))),
        largest_difference=float(np.abs(probabilities - expected).max()),
        training_seconds=training_seconds,
        images_per_second=len(paths) / seconds,
        version=publication.version,
        repository=repository,
        gallery=work / "gallery.html",
    )
    with replace_file(result.gallery) as replacement:
        replacement.stream.write(gallery(shown, _metrics(result)).encode())
    _check_result(result)
    return result


def _classify(repository: Path, paths: Sequence[Path], progress: Progress) -> tuple[list[Classification], float]:
    """Classify the images with a server of their own; return the answers and the seconds that they took."""
    progress("start Triton")
    # Other models of the repository may need a GPU that this host does not have.
    with TritonServer(repository, model_control="explicit", models=(MODEL_NAME,)) as server:
        progress(f"classify {len(paths)} held-out digits over gRPC")
        with Classifier(server.grpc_url, MODEL_NAME) as classifier:
            started = time.monotonic()
            answers = [classifier.classify(path, cam=True) for path in paths]
            seconds = time.monotonic() - started
        progress("stop Triton")
    return answers, seconds


def _predict_with_keras(network: Any, paths: Sequence[Path]) -> Any:
    """Return Keras's probabilities for the same files, read with Keras's own functions."""
    from camserve.export.frameworks import full_float32, keras

    images = [keras.utils.img_to_array(keras.utils.load_img(path, color_mode="grayscale")) for path in paths]
    with full_float32():
        return network.predict(np.stack(images) / 255.0, verbose=0)


def _check_result(result: DemoResult) -> None:
    if result.accuracy < _LEAST_ACCURACY:
        raise ExportError(
            f"the accuracy of the network must be at least {_LEAST_ACCURACY:.0%}, got {result.accuracy:.1%}",
            hint=f"Open {result.gallery}",
        )
    if result.same_class < result.images or not result.largest_difference <= _LARGEST_DIFFERENCE:
        raise ParityError(
            f"Triton and Keras return the same class for {result.same_class} of {result.images} images, and their "
            f"probabilities differ by up to {result.largest_difference:.2g}",
            hint=f"Open {result.gallery}",
        )


def _metrics(result: DemoResult) -> dict[str, str]:
    return {
        "Accuracy": f"{result.correct} of {result.images} ({result.accuracy:.1%})",
        "Agreement with Keras": f"{result.same_class} of {result.images}",
        "Largest difference of a probability": f"{result.largest_difference:.1e}",
    }
