"""Every error that camserve raises on purpose.

The data flows Keras model → bundle → repository → server → answer, and each stage has a branch:

    CamserveError
    ├── UsageError               the request itself makes no sense              (exit code 2)
    ├── ExportError              Keras model → bundle
    │   ├── SourceError          the source cannot be loaded as a Keras classifier
    │   ├── HeadError            the head is not linear, so it has no exact map
    │   ├── ConversionError      the graph cannot be written as ONNX or SavedModel
    │   └── ParityError          the export does not say what Keras says
    ├── BundleError              a bundle is missing, incomplete or altered
    ├── ServingError             bundle → served model
    │   ├── RepositoryError      the model repository cannot be read or written
    │   └── ServerError          the embedded Triton cannot start or has ended
    └── ClientError              image → answer
        ├── ImageError           the image cannot be read, or must not be
        ├── ContractError        server and contract disagree, or there is no contract
        ├── ConnectionFailedError  no server answers at this address
        ├── DeadlineError        no answer within the time given
        └── RequestError         the server answered with a refusal
            └── NotLoadedError   it does not serve this model, or this version of it
"""

from __future__ import annotations


class CamserveError(Exception):
    """Something camserve was asked to do and could not.

    Args:
        message: What failed, on which input, and why; a sentence without its full stop.
        hint: What to do about it; likewise.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}. {self.hint}"


class UsageError(CamserveError):
    """The request itself makes no sense: options that contradict each other, a value out of range."""

    exit_code = 2


class ExportError(CamserveError):
    """A Keras model could not be turned into a bundle."""


class SourceError(ExportError):
    """The source cannot be loaded as a Keras classifier."""


class HeadError(ExportError):
    """The way from the last spatial features to the logits is not linear; the message names the layer."""


class ConversionError(ExportError):
    """The graph cannot be written in the format asked for."""


class ParityError(ExportError):
    """The exported graph does not say what Keras says; the message names each figure that missed its bound."""


class BundleError(CamserveError):
    """A bundle is missing, incomplete or altered."""


class ServingError(CamserveError):
    """A bundle could not be served."""


class RepositoryError(ServingError):
    """The model repository cannot be read or written as asked."""


class ServerError(ServingError):
    """The embedded Triton cannot start, or has ended; the message carries the end of its log."""


class ClientError(CamserveError):
    """An image did not get its answer."""


class ImageError(ClientError):
    """The image cannot be read, or must not be."""


class ContractError(ClientError):
    """The served model has no contract, or its tensors disagree with it."""


class ConnectionFailedError(ClientError):
    """No server answers at this address."""


class DeadlineError(ClientError):
    """No answer within the time given."""


class RequestError(ClientError):
    """The server answered with a refusal: an unknown model, a wrong tensor, a fault of its own."""


class NotLoadedError(RequestError):
    """The server does not serve this model, or this version of it."""
