"""What Keras downloads: ImageNet weights and class names."""

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
_DOWNLOAD_FAILED = "URL fetch failure"
_WRONG_CHECKSUM = ("seems to be incomplete or outdated", "Incomplete or corrupted file")


def imagenet_model(name: str, build: Callable[[], keras.Model]) -> keras.Model:
    """Build a network with ImageNet weights, which Keras downloads once and verifies where it knows the checksum.

    Args:
        name: The network's name, for messages.
        build: Builds the network with these weights.

    Raises:
        SourceError: If the weights are not cached and cannot be downloaded, or their checksum is wrong.
    """
    printed = io.StringIO()
    try:
        with _stdout_to_stderr(printed):
            return build()
    except Exception as error:  # noqa: BLE001  Keras raises a bare Exception when a download fails
        output = f"{printed.getvalue()} {error}"
        if any(words in output for words in _WRONG_CHECKSUM):
            failure = "have a wrong checksum in Keras's cache and cannot be downloaded again"
        elif _DOWNLOAD_FAILED in output:
            failure = "cannot be downloaded"
        else:
            failure = "cannot be loaded"
        raise SourceError(
            f"the ImageNet weights of {name!r} {failure}: {error}",
            hint="Connect to the internet, or use --weights none or --weights FILE",
        ) from None


def imagenet_labels() -> tuple[str, ...]:
    """Return the ImageNet labels, `identifier<TAB>label`, from Keras's class index, which Keras downloads once.

    Raises:
        SourceError: If the class index is not cached and cannot be downloaded.
    """
    descending = np.linspace(1, 0, _CLASSES)[np.newaxis]
    try:
        with _stdout_to_stderr(io.StringIO()):
            (decoded,) = keras.applications.imagenet_utils.decode_predictions(descending, top=_CLASSES)
    except Exception as error:  # noqa: BLE001  Keras raises a bare Exception when a download fails
        raise SourceError(
            f"the ImageNet class index cannot be downloaded: {error}",
            hint="Connect to the internet, or pass the labels: --labels FILE",
        ) from None
    return tuple(f"{identifier}\t{label}" for identifier, label, _ in decoded)


@contextlib.contextmanager
def _stdout_to_stderr(record: io.StringIO) -> Iterator[None]:
    """Send what Keras prints to standard error, because standard output is for results, and record it."""

    class Both(io.TextIOBase):
        def write(self, text: str) -> int:
            record.write(text)
            return sys.stderr.write(text)

        def flush(self) -> None:
            sys.stderr.flush()

    with contextlib.redirect_stdout(Both()):
        yield
