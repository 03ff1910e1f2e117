"""The errors that camserve raises on purpose.

The data flows Keras model → bundle → repository → server → answer, and each stage has a branch:

    CamserveError
    ├── UsageError               the request is invalid                         (exit code 2)
    ├── ExportError              Keras model → bundle
    │   ├── SourceError          the source cannot be loaded as a Keras classifier
    │   ├── HeadError            the head has no exact activation map: camserve cannot differentiate it
    │   ├── ConversionError      the model cannot be converted to ONNX or SavedModel
    │   └── ParityError          the exported model does not match Keras
    ├── BundleError              a bundle is missing, incomplete or altered
    ├── ServingError             bundle → served model
    │   ├── RepositoryError      the model repository cannot be read or written
    │   └── ServerError          the embedded Triton cannot start or has ended
    └── ClientError              image → answer
        ├── ImageError           the image cannot be read or is not accepted
        ├── ContractError        the served model has no contract or contradicts it
        ├── ConnectionFailedError  no server answers at the address
        ├── DeadlineError        no answer within the timeout
        └── RequestError         the server returned an error
            └── NotLoadedError   the server does not serve this model or version
"""

from __future__ import annotations


class CamserveError(Exception):
    """The base class of all errors that camserve raises on purpose.

    Args:
        message: What failed, on which input, and why; one sentence without its full stop.
        hint: How to fix it; it begins with a verb and has no full stop.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}. {self.hint}"


class UsageError(CamserveError):
    """The request is invalid: a value is out of range, or options conflict."""

    exit_code = 2


class ExportError(CamserveError):
    """A Keras model could not be exported to a bundle."""


class SourceError(ExportError):
    """The source cannot be loaded as a Keras classifier."""


class HeadError(ExportError):
    """A step on the path from the last spatial features to the logits has no known derivative; the message names it."""


class ConversionError(ExportError):
    """The model cannot be converted to the requested format."""


class ParityError(ExportError):
    """The exported model does not match Keras; the message names each metric that exceeds its tolerance."""


class BundleError(CamserveError):
    """A bundle is missing, incomplete or altered."""


class ServingError(CamserveError):
    """A bundle could not be served."""


class RepositoryError(ServingError):
    """The model repository cannot be read or written."""


class ServerError(ServingError):
    """The embedded Triton cannot start or has ended; the message contains the end of its log or the cause.

    Attributes:
        explained: Whether the message names the cause in full, so that the log would add nothing.
    """

    explained = False


class ClientError(CamserveError):
    """An image could not be classified."""


class ImageError(ClientError):
    """The image cannot be read or is not accepted."""


class ContractError(ClientError):
    """The served model has no contract, or its tensors contradict it."""


class ConnectionFailedError(ClientError):
    """No server answers at the address."""


class DeadlineError(ClientError):
    """There was no answer within the timeout."""


class RequestError(ClientError):
    """The server returned an error: an unknown model, an invalid tensor, a failure of its own."""


class NotLoadedError(RequestError):
    """The server does not serve this model or this version of it."""
