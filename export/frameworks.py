"""Import of the frameworks, without their startup logs and telemetry."""

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

_FRAMEWORKS = ("tensorflow", "keras", "onnx", "onnxruntime", "tf2onnx")


def load_frameworks() -> None:
    """Import TensorFlow, Keras, ONNX, ONNX Runtime and tf2onnx.

    ONNX Runtime's telemetry is disabled unless `ORT_DISABLE_TELEMETRY` is set to another value.

    Raises:
        ExportError: If one of them cannot be imported, or Keras uses another backend than TensorFlow.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # failures are raised as well
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # its exceptions contain what it logs
    for module in _FRAMEWORKS:
        try:
            with _stderr_unless_failed():
                importlib.import_module(module)
        except ImportError as error:
            raise ExportError(
                f"cannot import {module}: {error}", hint="Install the export tools: pip install 'camserve[export]'"
            ) from error
    with _stderr_unless_failed():
        sys.modules["tensorflow"].config.list_logical_devices()  # warns of a missing GPU the first time
    backend = sys.modules["keras"].backend.backend()
    if backend != "tensorflow":
        raise ExportError(
            f"export requires the TensorFlow backend of Keras, got {backend!r}",
            hint="Set the environment variable before Keras is imported: KERAS_BACKEND=tensorflow",
        )


@contextlib.contextmanager
def _stderr_unless_failed() -> Iterator[None]:
    """Discard what native code writes to standard error, unless the block fails.

    TensorFlow's libraries log there before they read their own log level.
    """
    sys.stderr.flush()
    try:
        original = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        except BaseException:
            captured.seek(0)
            os.write(original, captured.read())
            raise
        finally:
            os.dup2(original, 2)
            os.close(original)
