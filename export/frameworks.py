"""Import TensorFlow, Keras, ONNX, ONNX Runtime and tf2onnx with their environment prepared and their logs suppressed.

Every module of `camserve.export` that uses a framework imports this module first: the frameworks read the environment
when they are loaded.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator

from camserve.errors import ExportError
from camserve.extras import install_command

_FRAMEWORKS = ("tensorflow", "keras", "onnx", "onnxruntime", "tf2onnx")


def _load_frameworks() -> None:
    """Import the frameworks.

    Raises:
        ExportError: If one is not installed, or Keras uses another backend than TensorFlow.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # failures are raised as exceptions as well
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # its exceptions repeat what it logs
    for name in _FRAMEWORKS:
        try:
            with _suppressed_stderr():
                importlib.import_module(name)
        except ImportError as error:
            raise ExportError(
                f"cannot import {name}: {error}", hint=f"Install the export tools: {install_command('export')}"
            ) from error
    with _suppressed_stderr():
        sys.modules["tensorflow"].config.list_logical_devices()  # warns once if there is no GPU
    backend = sys.modules["keras"].backend.backend()
    if backend != "tensorflow":
        raise ExportError(
            f"export requires Keras's TensorFlow backend, got {backend!r}",
            hint="Set KERAS_BACKEND=tensorflow before Keras is imported",
        )


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Let TensorFlow multiply float32 as float32 on a GPU, instead of in TF32, its default; restore the setting then.

    Keras's answers are the reference of an export, and the distance of its float32 answers from those in float64 raises
    the tolerances of the gate.
    """
    setting = tf.config.experimental
    permitted = setting.tensor_float_32_execution_enabled()
    setting.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        setting.enable_tensor_float_32_execution(permitted)


@contextlib.contextmanager
def _suppressed_stderr() -> Iterator[None]:
    """Suppress what native code writes to standard error, and print it if the block raises.

    TensorFlow's libraries log before they read their log level.
    """
    sys.stderr.flush()
    try:
        original = os.dup(2)
    except OSError:  # standard error is closed
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


_load_frameworks()

import keras  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
import tensorflow as tf  # noqa: E402

__all__ = ["full_float32", "keras", "onnx", "onnxruntime", "tf"]
