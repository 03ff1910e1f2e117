"""What an exported file says beside what Keras says, on images that neither the training nor the quantizer saw."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
from support import pointing

__all__ = ["Compared", "Said", "ask_export", "ask_keras", "open_session"]

_BATCH = 50

Array = Any  # an array; what numpy's functions give is typed so


@dataclass(frozen=True)
class Said:
    """Answers to some images.

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
        """For each image the map of one class, `[count, rows, columns]`."""
        return self.maps[np.arange(len(classes)), classes]


@dataclass(frozen=True)
class Compared:
    """An export beside Keras on the same images; maps are those of the class that Keras chooses.

    Attributes:
        keras: What Keras says.
        export: What the exported file says.
        bias: Of the linear head, `[classes]`.
    """

    keras: Said
    export: Said
    bias: Array

    @property
    def agreement(self) -> float:
        """Share of the images to which both give the same best class."""
        return float(np.mean(self.keras.classes == self.export.classes))

    @property
    def cosine(self) -> float:
        """Mean cosine between a map and Keras's."""
        ours, theirs = (
            said.maps_of(self.keras.classes).reshape(len(self.bias), -1) for said in (self.export, self.keras)
        )
        lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        return float(np.mean((ours * theirs).sum(axis=1) / lengths))

    @property
    def identity(self) -> float:
        """Largest difference between a logit and the mean of its map plus bias, relative to the largest |logit|."""
        summed = self.export.maps.mean(axis=(2, 3)) + self.bias
        return float(np.abs(summed - self.export.logits).max() / np.abs(self.export.logits).max())

    def pointing(self, masks: Array) -> tuple[float, float]:
        """Share of the images in which the export's map, and Keras's, points at the object."""
        classes = self.keras.classes
        hits = [pointing.hits(said.maps_of(classes), masks).mean() for said in (self.export, self.keras)]
        return float(hits[0]), float(hits[1])


def ask_keras(network: keras.Model, images: Array) -> Said:
    """Keras's answers, by the formula of the map and nothing of ours.

    Args:
        network: A classifier whose layer `avg_pool` pools all of the last features, and whose last is Dense.
        images: Prepared, `[count, height, width, channels]`.
    """
    kernel, bias = network.layers[-1].get_weights()
    features = keras.Model(network.input, network.get_layer("avg_pool").input).predict(images, _BATCH, verbose=0)
    maps = np.einsum("nyxk,kc->ncyx", features.astype(np.float64), kernel.astype(np.float64))
    return Said(maps.mean(axis=(2, 3)) + bias, maps)


def ask_export(file: onnxruntime.InferenceSession, images: Array) -> Said:
    """Answers of an exported file that gives the map of every class, in float64."""
    parts = [_answer(file, images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)]
    return Said(np.concatenate([part.logits for part in parts]), np.concatenate([part.maps for part in parts]))


def open_session(path: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """The file in ONNX Runtime on the CPU, with so many threads, or one for each core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _answer(file: onnxruntime.InferenceSession, images: Array) -> Said:
    logits, cam, cam_class = file.run(["logits", "cam", "cam_class"], {"image": images})
    by_class = cam_class.argsort(axis=1)[:, :, np.newaxis, np.newaxis]
    return Said(logits.astype(np.float64), np.take_along_axis(cam, by_class, axis=1).astype(np.float64))
