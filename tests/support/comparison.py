"""Comparison of an exported file with Keras on images used neither for training nor for calibration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
from support import pointing

__all__ = ["Comparison", "Outputs", "open_session", "run_export", "run_keras"]

_BATCH = 50

Array = Any  # the type that numpy functions return


@dataclass(frozen=True)
class Outputs:
    """The outputs for some images.

    Attributes:
        logits: `[count, classes]`.
        maps: The map of every class, `[count, classes, rows, columns]`.
    """

    logits: Array
    maps: Array

    @property
    def classes(self) -> Array:
        """Return the best class of each image."""
        return self.logits.argmax(axis=1)

    def maps_of(self, classes: Array) -> Array:
        """Return the map of one class for each image, `[count, rows, columns]`."""
        return self.maps[np.arange(len(classes)), classes]


@dataclass(frozen=True)
class Comparison:
    """The outputs of an export and of Keras for the same images; maps are compared for Keras's best class.

    Attributes:
        keras: The outputs of Keras.
        export: The outputs of the exported file.
        bias: Bias of the linear head, `[classes]`.
    """

    keras: Outputs
    export: Outputs
    bias: Array

    @property
    def agreement(self) -> float:
        """Return the share of the images for which both have the same best class."""
        return float(np.mean(self.keras.classes == self.export.classes))

    @property
    def cosine(self) -> float:
        """Return the mean cosine similarity of the export's map and Keras's."""
        ours, theirs = (
            outputs.maps_of(self.keras.classes).reshape(len(self.keras.classes), -1)
            for outputs in (self.export, self.keras)
        )
        lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        return float(np.mean((ours * theirs).sum(axis=1) / lengths))

    @property
    def identity(self) -> float:
        """Return the largest difference of a logit and its map's mean plus bias, relative to the largest |logit|."""
        recomputed = self.export.maps.mean(axis=(2, 3)) + self.bias
        return float(np.abs(recomputed - self.export.logits).max() / np.abs(self.export.logits).max())

    def pointing(self, masks: Array) -> tuple[float, float]:
        """Return the share of hits in the pointing game of the export and of Keras."""
        classes = self.keras.classes
        hits = [pointing.hits(outputs.maps_of(classes), masks).mean() for outputs in (self.export, self.keras)]
        return float(hits[0]), float(hits[1])


def run_keras(network: keras.Model, images: Array) -> Outputs:
    """Compute logits and maps from Keras's features, independently of camserve.

    Args:
        network: A classifier whose layer `avg_pool` pools the last features globally, and whose last layer is Dense.
        images: Preprocessed images, `[count, height, width, channels]`.
    """
    kernel, bias = network.layers[-1].get_weights()
    features = keras.Model(network.input, network.get_layer("avg_pool").input).predict(images, _BATCH, verbose=0)
    maps = np.einsum("nyxk,kc->ncyx", features.astype(np.float64), kernel.astype(np.float64))
    return Outputs(maps.mean(axis=(2, 3)) + bias, maps)


def run_export(session: onnxruntime.InferenceSession, images: Array) -> Outputs:
    """Run an exported file that returns the map of every class; the outputs are float64."""
    parts = [_run_batch(session, images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)]
    return Outputs(np.concatenate([part.logits for part in parts]), np.concatenate([part.maps for part in parts]))


def open_session(path: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """Load an ONNX file in ONNX Runtime on the CPU, with a number of threads (default: one per core)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # an idle session would use the cores
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _run_batch(session: onnxruntime.InferenceSession, images: Array) -> Outputs:
    logits, cam, cam_class = session.run(["logits", "cam", "cam_class"], {"image": images})
    by_class = cam_class.argsort(axis=1)[:, :, np.newaxis, np.newaxis]
    return Outputs(logits.astype(np.float64), np.take_along_axis(cam, by_class, axis=1).astype(np.float64))
