"""Find the images of which float32 does not determine the maps of a head that is not linear.

The derivative of a ReLU jumps where it reads 0, and that of a maximum where two elements are equal. If an image is
nearer to such a point than the rounding of its features, two correct exports may return different maps of it. The
features in float64 are therefore moved by several times the rounding of Keras's own in float32: a map that jumps cannot
be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from camserve.answer_differences import scale_of
from camserve.export.gate.metric import Metric
from camserve.export.graph.gradient_reference import TapeMaps
from camserve.export.graph.reference import ReferenceOutputs
from camserve.ranking import rank_classes

__all__ = ["map_changes", "undetermined_metric", "with_determined"]

_FACTOR = 8  # how often the rounding; with two directions, about 1 % of the jumps that it can cause are missed
_DIRECTIONS = 2
_BEND = 2.5e-5  # relative to the largest value of a map: a quarter of the default tolerance of maps
_CHANGE = 1e-3  # the same, for equal maxima, between which opposite steps choose symmetrically
_LARGEST_SHARE = 0.25  # `benchmarks/heads.py --undetermined` measures less than a third of that on usual heads

Array = npt.NDArray[np.float64]


def with_determined(exact: ReferenceOutputs, keras: ReferenceOutputs) -> ReferenceOutputs:
    """Mark the images whose maps can be compared in the answers to a batch.

    Args:
        exact: The answers in float64.
        keras: Keras's answers in float32.
    """
    if exact.tape is None or keras.tape is None:
        return exact
    features = exact.tape.features
    rounding = np.sqrt(np.mean((keras.tape.features - features) ** 2, axis=(1, 2, 3), keepdims=True))
    largest = np.abs(features).max(axis=(1, 2, 3), keepdims=True)
    step = _FACTOR * np.maximum(rounding, np.finfo(np.float32).eps * largest / 8)
    relative = (step / np.where(largest == 0, 1, largest))[:, 0, 0, 0]
    maps, *others = _moved_maps(exact.tape, rank_classes(exact.logits)[:, :1], step)
    scale = scale_of(maps)
    pairs = list(zip(others[:_DIRECTIONS], others[_DIRECTIONS:], strict=True))
    bend = np.max([_largest(up + down - 2 * maps) for up, down in pairs], axis=0) / scale
    change = np.max([_largest(other - maps) for other in others], axis=0) / scale
    return replace(exact, determined=(bend <= _BEND) & (change <= np.maximum(_CHANGE, 4 * relative)))


def undetermined_metric(batches: list[ReferenceOutputs]) -> list[Metric]:
    """Return the share of the images that float32 does not determine the maps of; empty for a linear head."""
    marks = [batch.determined for batch in batches if batch.determined is not None]
    if not marks:
        return []
    images = sum(map(len, marks))
    share = sum(int(np.count_nonzero(~mark)) for mark in marks) / images
    return [Metric("network", "cam_undetermined", images, share, _LARGEST_SHARE)]


def map_changes(answers: ReferenceOutputs, classes: npt.NDArray[np.int64], levels: Sequence[float]) -> Array | None:
    """Return how much the maps of images change if their features are moved; None for a linear head.

    Args:
        answers: The answers to the images.
        classes: Those of the maps, `[batch, maps]`.
        levels: How far each feature is moved, relative to the root mean square of all features of the image.

    Returns:
        The largest change of a value, `[batch, levels]`.
    """
    if answers.tape is None:
        return None
    size = np.sqrt(np.mean(answers.tape.features**2, axis=(1, 2, 3), keepdims=True))
    changes = []
    for level in levels:
        maps, *others = _moved_maps(answers.tape, classes, level * size)
        changes.append(np.max([_largest(other - maps) for other in others], axis=0))
    stacked: Array = np.stack(changes, axis=1)
    return stacked


def _moved_maps(tape: TapeMaps, classes: npt.NDArray[np.int64], step: Array) -> Array:
    """Return the maps of a batch, and with each feature moved by a step, in several directions and their opposites."""
    signs = np.random.default_rng(0)
    moves = [step * signs.choice([-1.0, 1.0], tape.features.shape) for _ in range(_DIRECTIONS)]
    features = [tape.features, *(tape.features + move for move in (*moves, *(-move for move in moves)))]
    maps = replace(tape, features=np.concatenate(features))(np.tile(classes, (len(features), 1)))
    return maps.reshape(len(features), len(classes), *maps.shape[1:])


def _largest(maps: Array) -> Array:
    """Return the largest magnitude in the maps of each image, `[batch]`."""
    values: Array = np.abs(maps).max(axis=(1, 2, 3))
    return values
