"""What a user would run in a program instead: Keras, TensorFlow, and conversions that Keras and OpenVINO offer."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from bench.networks import kept
from bench.runtimes import Run, in_onnxruntime, native_bf16, openvino, openvino_as_it_is
from bench.settings import Settings

__all__ = ["KERAS", "onnx_by_keras", "opponents"]

KERAS = "Keras `predict`"


def opponents(model: Any, name: str, settings: Settings) -> dict[str, Run]:
    """Return functions that compute the probabilities of a Keras model, by what they are.

    Args:
        model: The model.
        name: The name that its conversions are kept under.
        settings: Where they are kept, and the number of threads.
    """
    threads = settings.cores
    converted = openvino().convert_model(str(_saved_model(model, name, settings)))
    default = "bf16" if native_bf16() else "float32"
    return {
        KERAS: lambda images: [model.predict(images, batch_size=len(images), verbose=0)],
        "`tf.function`": _tf_function(model, jit_compile=False),
        "`tf.function`, XLA": _tf_function(model, jit_compile=True),
        'Keras `export(format="onnx")`, ONNX Runtime': in_onnxruntime(onnx_by_keras(model, name, settings), threads),
        "OpenVINO `convert_model`, float32": openvino_as_it_is(converted, threads, "f32"),
        f"OpenVINO `convert_model`, default: {default}": openvino_as_it_is(converted, threads, None),
    }


def _tf_function(model: Any, *, jit_compile: bool) -> Run:
    import tensorflow as tf

    compiled = tf.function(lambda images: model(images, training=False), jit_compile=jit_compile)
    return lambda images: [np.asarray(compiled(tf.constant(images)))]


def onnx_by_keras(model: Any, name: str, settings: Settings) -> Path:
    """Return the ONNX file that Keras exports a model to."""

    def export(folder: Path) -> None:
        folder.mkdir()
        model(np.zeros((1, *model.input_shape[1:]), np.float32))  # Keras exports only what was called
        with warnings.catch_warnings(action="ignore"):
            model.export(str(folder / "model.onnx"), format="onnx", verbose=False)

    return kept(settings, f"{name}-by-keras", export) / "model.onnx"


def _saved_model(model: Any, name: str, settings: Settings) -> Path:
    return kept(settings, f"{name}-saved-model", lambda folder: model.export(str(folder), verbose=False))
