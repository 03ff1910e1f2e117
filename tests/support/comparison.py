"""Compare an exported file with Keras on images that were used neither for training nor for calibration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
from support import pointing

from camserve.answer_differences import cosines, largest_magnitude

__all__ = ["Comparison", "Outputs", "open_session", "run_export_file", "run_keras"]

_BATCH = 50

Array = Any  # a NumPy array


@dataclass(frozen=True)
class Outputs:
    """The outputs for a number of images.

    Attributes:
        logits: `[count, classes]`.
        maps: The map of every class, `[count, classes, rows, columns]`.
    """

    logits: Array
    maps: Array

    @property
    def classes(self) -> Array:
        """The best class of each image."""
        return self.logits.argmax(axis=1)

    def maps_of(self, classes: Array) -> Array:
        """Return the map of one class for each image, `[count, rows, columns]`."""
        return self.maps[np.arange(len(classes)), classes]


@dataclass(frozen=True)
class Comparison:
    """Outputs of Keras and of an export for the same images; maps are those of Keras's best class.

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
        """Share of the images with the same best class."""
        return float(np.mean(self.keras.classes == self.export.classes))

    @property
    def cosine(self) -> float:
        """Mean cosine between a map and Keras's."""
        export, reference = (outputs.maps_of(self.keras.classes) for outputs in (self.export, self.keras))
        return float(np.mean(cosines(export, reference)))

    @property
    def identity(self) -> float:
        """Largest difference between a logit and the mean of its map plus bias, relative to the largest |logit|."""
        from_maps = self.export.maps.mean(axis=(2, 3)) + self.bias
        return largest_magnitude(from_maps - self.export.logits) / largest_magnitude(self.export.logits)

    def pointing(self, masks: Array) -> tuple[float, float]:
        """Return the share of the images in which the export's map, and Keras's, points at the object."""
        classes = self.keras.classes
        hits = [pointing.hits(outputs.maps_of(classes), masks).mean() for outputs in (self.export, self.keras)]
        return float(hits[0]), float(hits[1])


def run_keras(network: keras.Model, images: Array) -> Outputs:
    """Run a Keras classifier and compute its maps by the formula, without camserve.

    Args:
        network: A classifier whose layer `avg_pool` pools all of the last features, and whose last is Dense.
        images: Network inputs, `[count, height, width, channels]`.
    """
    kernel, bias = network.layers[-1].get_weights()
    features = keras.Model(network.input, network.get_layer("avg_pool").input).predict(images, _BATCH, verbose=0)
    maps = np.einsum("nyxk,kc->ncyx", features.astype(np.float64), kernel.astype(np.float64))
    return Outputs(maps.mean(axis=(2, 3)) + bias, maps)


def run_export_file(session: onnxruntime.InferenceSession, images: Array) -> Outputs:
    """Run an exported file that has as many maps as classes; the outputs are float64."""
    parts = [_run(session, images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)]
    return Outputs(np.concatenate([part.logits for part in parts]), np.concatenate([part.maps for part in parts]))


def open_session(path: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """Open the file in ONNX Runtime on the CPU.

    Args:
        path: The file.
        threads: Number of threads; 0 for one per core.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _run(session: onnxruntime.InferenceSession, images: Array) -> Outputs:
    logits, cam, cam_class = session.run(["logits", "cam", "cam_class"], {"image": images})
    by_class = cam_class.argsort(axis=1)[:, :, np.newaxis, np.newaxis]
    return Outputs(logits.astype(np.float64), np.take_along_axis(cam, by_class, axis=1).astype(np.float64))
