"""The frameworks' manners: what they print and send unasked, settled before any of them is loaded."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator

from camserve.errors import ExportError

__all__ = ["load_frameworks"]

_NEEDED = {
    "tensorflow": "tensorflow",
    "keras": "keras",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "tf2onnx": "tf2onnx",
}


def load_frameworks() -> None:
    """Imports TensorFlow, Keras, ONNX, ONNX Runtime and tf2onnx, quietly.

    ONNX Runtime's telemetry is switched off unless the environment says otherwise.

    Raises:
        ExportError: If one of them is not installed; it names the package.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what fails is raised as well
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # what it says is said again by the exception
    for module, package in _NEEDED.items():
        try:
            with _stderr_held_back():
                importlib.import_module(module)
        except ImportError as error:
            raise ExportError(
                f"{module} cannot be imported: {error}",
                hint=f"Install it with the export tools: pip install 'camserve[export]' (it comes from {package})",
            ) from error
    with _stderr_held_back():
        sys.modules["tensorflow"].config.list_logical_devices()  # complains of a missing GPU the first time
    if sys.modules["keras"].backend.backend() != "tensorflow":
        raise ExportError(
            f"Keras runs on {sys.modules['keras'].backend.backend()!r}, and export needs TensorFlow",
            hint="Set KERAS_BACKEND=tensorflow before Keras is imported",
        )


@contextlib.contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Holds back what native code writes to standard error, and lets it out if the block fails.

    TensorFlow's libraries log there before their own log level is read.
    """
    sys.stderr.flush()
    try:
        original = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(original, held.read())
            raise
        finally:
            os.dup2(original, 2)
            os.close(original)
