"""What Keras downloads: the weights of ImageNet and the names of its classes."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator

from camserve.export.frameworks import keras

import numpy as np

from camserve.errors import SourceError

__all__ = ["imagenet_labels", "imagenet_model"]

_CLASSES = 1000
_NOT_FETCHED = "URL fetch failure"
_WRONG_HASH = ("seems to be incomplete or outdated", "Incomplete or corrupted file")


def imagenet_model(name: str, build: Callable[[], keras.Model]) -> keras.Model:
    """A network with the weights of ImageNet, which Keras downloads once and holds to its own hash where it has one.

    Raises:
        SourceError: If they are not cached and cannot be downloaded, or are not what Keras expects.
    """
    said = io.StringIO()
    try:
        with _stdout_kept_clean(said):
            return build()
    except Exception as error:  # Keras raises a bare Exception when a download fails
        told = f"{said.getvalue()} {error}"
        if any(words in told for words in _WRONG_HASH):
            failure = "are damaged: their hash is not Keras's, and they cannot be downloaded again"
        elif _NOT_FETCHED in told:
            failure = "cannot be downloaded"
        else:
            failure = "cannot be loaded"
        raise SourceError(
            f"the ImageNet weights of {name!r} {failure}: {error}",
            hint="Export where there is a network, or use --weights none or --weights FILE",
        ) from error


def imagenet_labels() -> tuple[str, ...]:
    """The labels of ImageNet, `identifier<TAB>label`, from Keras's class index, which Keras downloads once.

    Raises:
        SourceError: If it is not cached and cannot be downloaded.
    """
    descending = np.linspace(1, 0, _CLASSES)[np.newaxis]
    try:
        with _stdout_kept_clean(io.StringIO()):
            (decoded,) = keras.applications.imagenet_utils.decode_predictions(descending, top=_CLASSES)
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise SourceError(
            f"the ImageNet class index cannot be downloaded: {error}",
            hint="Export where there is a network, or give the labels: --labels FILE",
        ) from error
    return tuple(f"{identifier}\t{label}" for identifier, label, _ in decoded)


@contextlib.contextmanager
def _stdout_kept_clean(copy: io.StringIO) -> Iterator[None]:
    """Sends what Keras prints to standard error: standard output is for what was asked."""

    class Both(io.TextIOBase):
        def write(self, text: str) -> int:
            copy.write(text)
            return sys.stderr.write(text)

        def flush(self) -> None:
            sys.stderr.flush()

    with contextlib.redirect_stdout(Both()):
        yield
