"""What answers for a chunk of images: a served model, or a bundle in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from camserve.clients.answers.classification import Classification
from camserve.clients.answers.query import ClassifyRequest
from camserve.clients.answers.served_model import Model
from camserve.errors import CamserveError
from camserve.images.loading import OpenedImage

__all__ = ["Answerer", "AnswererOptions"]


class Answerer(Protocol):
    """Classifies chunks of images, from several threads at once."""

    @property
    def model(self) -> Model:
        """The model that answers; it changes if a new version is loaded."""

    def classify(
        self, images: Sequence[OpenedImage], request: ClassifyRequest
    ) -> Sequence[Classification | CamserveError]:
        """Return the answer for each image, or the error that affects only this image.

        Raises:
            CamserveError: If an error affects every image, such as a server that does not reply.
        """

    def close(self) -> None:
        """Close connections or sessions."""


class AnswererOptions(Protocol):
    """How to open an answerer, in this or another process. It can be pickled."""

    def open(self) -> Answerer:
        """Connect to the server, or load the bundle.

        Raises:
            CamserveError: If that fails.
        """

    def for_workers(self, model: Model) -> AnswererOptions:
        """Return the options for worker processes of a process that has opened these, and got the model."""
