"""A served model that answers for chunks of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from camserve.clients.answers.classification import Classification
from camserve.clients.answers.query import ClassifyRequest
from camserve.clients.answers.served_model import Model
from camserve.clients.classifier import Classifier
from camserve.clients.wire.connection_options import MOST_RETRIES
from camserve.clients.wire.values import Statistics
from camserve.errors import CamserveError
from camserve.images.loading import OpenedImage

__all__ = ["ServedAnswerer", "ServedOptions"]


@dataclass(frozen=True)
class ServedOptions:
    """How to connect to a served model; see `Classifier`. It can be pickled.

    Attributes:
        url: The servers.
        model: Name of the model.
        settings: Further arguments of `Classifier`; shared memory is used if the servers accept it (default).
    """

    url: str | Sequence[str]
    model: str
    settings: dict[str, Any] = field(default_factory=dict, repr=False)

    def open(self) -> ServedAnswerer:
        """Connect to the servers.

        Raises:
            CamserveError: As `Classifier`.
        """
        classifier = Classifier(self.url, self.model, **{"shared_memory": "auto", **self.settings})
        return ServedAnswerer(classifier, owned=classifier)

    def with_few_retries(self) -> ServedOptions:
        """Return the options for a run that waits for the server itself, and tells the user so after a few seconds."""
        return replace(self, settings={"retries": MOST_RETRIES, **self.settings})

    def for_workers(self, model: Model) -> ServedOptions:
        """Return the options of the processes that work for one: all of them pin the version that it has pinned."""
        if not self.settings.get("pin_version"):
            return self
        return replace(self, settings={**self.settings, "version": model.version})


class ServedAnswerer:
    """Classifies chunks of images by requests to the servers of a classifier, over connections of its own.

    Args:
        classifier: The classifier.
        owned: The classifier, if it is to be closed, too.
    """

    def __init__(self, classifier: Classifier, *, owned: Classifier | None = None) -> None:
        self._batches = classifier.open_batches()
        self._owned = owned

    @property
    def model(self) -> Model:
        """The model that answers; it changes if a new version is loaded."""
        return self._batches.model

    def classify(
        self, images: Sequence[OpenedImage], request: ClassifyRequest
    ) -> Sequence[Classification | CamserveError]:
        """Return the answer for each image, or the error that affects only this image; see `Batches.classify`."""
        return self._batches.classify(images, request)

    def statistics(self) -> Statistics | None:
        """Return the time that the servers have spent on the model; see `Batches.statistics`."""
        return self._batches.statistics()

    def close(self) -> None:
        """End pending requests and close the connections."""
        self._batches.close()
        if self._owned is not None:
            self._owned.close()
