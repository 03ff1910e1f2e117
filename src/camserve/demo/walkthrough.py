"""The demo, step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from camserve.clients import Classification, Classifier
from camserve.demo.digits import load_digits, train, write_images
from camserve.demo.gallery import LabeledResult, gallery
from camserve.errors import ExportError, ParityError
from camserve.serving import TritonServer, publish

__all__ = ["DemoResult", "run_demo"]

MODEL_NAME = "digits"
_RECIPE = "resnet-mini"
_LARGEST_DIFFERENCE = 1e-5
_LEAST_ACCURACY = 0.97


@dataclass(frozen=True)
class DemoResult:
    """What the demo found.

    Attributes:
        images: Number of held-out digits that were sent to the server.
        right: How many of them it named rightly.
        same_class: How many of them Keras gives the same class.
        largest_difference: Largest difference between a probability from the server and from Keras.
        training_seconds: Time that training took.
        images_per_second: Images classified a second, one after the other, each with its maps.
        version: Version under which the network was published.
        repository: The model repository.
        gallery: The page.
    """

    images: int
    right: int
    same_class: int
    largest_difference: float
    training_seconds: float
    images_per_second: float
    version: int
    repository: Path
    gallery: Path

    @property
    def accuracy(self) -> float:
        """Share of the held-out digits that were named rightly."""
        return self.right / self.images


def run_demo(work: Path, repository: Path, begin: Callable[[str], None]) -> DemoResult:
    """Trains a small residual network on handwritten digits and takes it all the way.

    Args:
        work: Folder for the images, the bundle and the gallery.
        repository: Model repository to publish into.
        begin: Called with the name of each phase as it begins.

    Raises:
        ExportError: If the network learnt too little.
        ParityError: If the server's answers are not Keras's own.
        CamserveError: If any step on the way fails.
    """
    begin("load TensorFlow")
    from camserve.export import RECIPES, export_model
    from camserve.export.option_checks import check_destination

    check_destination(work / "bundle")
    recipe, digits = RECIPES[_RECIPE], load_digits()
    begin(f"train {_RECIPE} on {len(digits.images):,} handwritten digits")
    began = time.monotonic()
    network = train(recipe.build, digits)
    trained = time.monotonic() - began
    bundle = export_model(
        network,
        work / "bundle",
        name=MODEL_NAME,
        preprocessing=recipe.preprocessing,
        labels=recipe.labels,
        progress=lambda phase: begin(f"export: {phase}"),
    )
    begin(f"publish into {repository}")
    publication = publish(bundle, repository)
    paths = write_images(digits.held_out_images, digits.held_out_classes, work / "held-out")
    answers, classified = _classify(repository, paths, begin)
    begin("compare with Keras, draw the gallery")
    said_by_keras = _ask_keras(network, paths)
    said = np.stack([answer.probabilities for answer in answers])
    shown = [LabeledResult(answer, int(digit)) for answer, digit in zip(answers, digits.held_out_classes, strict=True)]
    page = work / "gallery.html"
    result = DemoResult(
        images=len(paths),
        right=sum(item.is_correct for item in shown),
        same_class=int(np.sum(said.argmax(axis=1) == said_by_keras.argmax(axis=1))),
        largest_difference=float(np.abs(said - said_by_keras).max()),
        training_seconds=trained,
        images_per_second=len(paths) / classified,
        version=publication.version,
        repository=repository,
        gallery=page,
    )
    page.write_text(gallery(shown, _figures(result)), encoding="utf-8")
    _hold_to_promise(result)
    return result


def _classify(
    repository: Path, paths: Sequence[Path], begin: Callable[[str], None]
) -> tuple[list[Classification], float]:
    """Answers of a server started for this, and the seconds that they took."""
    begin("start Triton")
    with TritonServer(repository) as server:
        begin(f"classify {len(paths)} held-out digits over gRPC")
        with Classifier(server.grpc_url, MODEL_NAME) as classifier:
            began = time.monotonic()
            answers = [classifier.classify(path, cam=True) for path in paths]
            seconds = time.monotonic() - began
        begin("stop Triton")
    return answers, seconds


def _ask_keras(network: Any, paths: Sequence[Path]) -> Any:
    """Keras's own answers to the same files, read by Keras's own tools."""
    import keras

    images = [keras.utils.img_to_array(keras.utils.load_img(path, color_mode="grayscale")) for path in paths]
    return network.predict(np.stack(images) / 255.0, verbose=0)


def _hold_to_promise(result: DemoResult) -> None:
    if result.accuracy < _LEAST_ACCURACY:
        raise ExportError(
            f"the network learnt badly: it names {result.accuracy:.1%} of the held-out digits rightly, and "
            f"{_LEAST_ACCURACY:.0%} are promised",
            hint=f"See {result.gallery}",
        )
    if result.same_class < result.images or not result.largest_difference <= _LARGEST_DIFFERENCE:
        raise ParityError(
            f"Triton gives the class that Keras gives on {result.same_class} of {result.images} images, and "
            f"probabilities differ by up to {result.largest_difference:.2g}",
            hint=f"See {result.gallery}",
        )


def _figures(result: DemoResult) -> dict[str, str]:
    return {
        "named rightly": f"{result.right} of {result.images} ({result.accuracy:.1%})",
        "same class as Keras": f"{result.same_class} of {result.images}",
        "largest difference of a probability": f"{result.largest_difference:.1e}",
    }
