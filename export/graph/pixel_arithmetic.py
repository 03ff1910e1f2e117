"""Arithmetic on pixels inside a network: `Rescaling`, `Normalization`, `preprocess_input` and the like at its entry.

It is found by its effect and not by names, so that operations, Lambda layers and layers of the user's count as well:
the steps before the first weights are run on images.
"""

from __future__ import annotations

from typing import Any

from camserve.export.frameworks import keras

import numpy as np
import numpy.typing as npt

from camserve.contract import Preprocessing
from camserve.export.graph.affine import activation_name
from camserve.export.graph.inference import to_inference_mode
from camserve.export.graph.network import Network, Step, Value, is_layer, run
from camserve.pixels import normalize

__all__ = ["repeated_arithmetic"]

_LEVELS = (0, 85, 170, 255)
_SMALLEST_CHANGE = 2e-3  # relative; larger than the rounding of half precision
_IMAGE_RANK = 3

Array = npt.NDArray[Any]


def repeated_arithmetic(network: Network, preprocessing: Preprocessing) -> Step | None:
    """Return the step that scales or shifts pixels although the preprocessing has done so; None if there is none.

    Arithmetic that enlarges the differences between pixels is not meant: it continues that of the preprocessing, as
    `Normalization(mean=0.485, variance=0.0524)` after `unit`, or reverses it. Nor is one without effect, or one whose
    result does not depend on the preprocessing, as that of `tf.image.per_image_standardization`.

    Args:
        network: The classifier as it was traced.
        preprocessing: The preprocessing of its images.
    """
    if not preprocessing.arithmetic:
        return None
    entry = _entry(to_inference_mode(network)[0])
    noise = np.random.default_rng(0).integers(0, 256, (1, *network.shape), np.uint8)
    grays = [np.full((1, *network.shape), level, np.uint8) for level in _LEVELS]
    for end in _ends(entry):
        way = _way_to(entry, end)
        changing = next((step for step in way if any(_changes(entry, step.outputs[0], gray) for gray in grays)), None)
        harmless = (
            not any(_changes(entry, end, normalize(gray, preprocessing)) for gray in grays)
            or any(_enlarges(entry, step.outputs[0], grays) for step in way)
            or _is_independent(entry, end, noise, normalize(noise, preprocessing))
        )
        if changing is not None and not harmless:
            return changing
    return None


def _entry(network: Network) -> Network:
    """Return the steps from pixels to images, before any weights and activations."""
    reached, steps = {network.input}, []
    for step in network.steps:
        if step.inputs and reached.issuperset(step.inputs) and _is_fixed(step):
            reached.update(step.outputs)
            steps.append(step)
    return network.with_steps(steps)


def _is_fixed(step: Step) -> bool:
    operation = step.operation
    learned = is_layer(operation) and operation.weights and not isinstance(operation, keras.layers.Normalization)
    is_image = all(len(value.shape) >= _IMAGE_RANK for value in step.outputs)
    return is_image and not learned and activation_name(step) == "linear"


def _ends(entry: Network) -> list[Value]:
    return [value for step in entry.steps for value in step.outputs if not entry.consumers(value)]


def _way_to(entry: Network, end: Value) -> list[Step]:
    """Return the steps that a value depends on, in order."""
    needed, steps = {end}, []
    for step in reversed(entry.steps):
        if not needed.isdisjoint(step.outputs):
            needed.update(step.inputs)
            steps.append(step)
    return steps[::-1]


def _run(entry: Network, value: Value, image: Array) -> Array:
    (result,) = run(entry, keras.ops.convert_to_tensor(image, entry.dtype), [value])
    return np.asarray(result, np.float64)


def _center(image: Array) -> Array:
    return np.asarray(image[0, image.shape[1] // 2, image.shape[2] // 2], np.float64).ravel()


def _changes(entry: Network, value: Value, image: Array) -> bool:
    """Return whether a value contains levels that an image of one color does not contain; channels may be reordered."""
    levels, found = _center(image), _center(_run(entry, value, image))
    distances = np.abs(found[:, np.newaxis] - levels).min(axis=1)
    return bool(distances.max() > _SMALLEST_CHANGE * max(1.0, np.abs(levels).max()))


def _enlarges(entry: Network, value: Value, grays: list[Array]) -> bool:
    """Return whether the levels of a value differ by more than those of the pixels."""
    return bool(
        np.ptp([_center(_run(entry, value, gray)).mean() for gray in grays]) > np.ptp(_LEVELS) * (1 + _SMALLEST_CHANGE)
    )


def _is_independent(entry: Network, value: Value, pixels: Array, preprocessed: Array) -> bool:
    expected, found = _run(entry, value, pixels), _run(entry, value, preprocessed)
    return bool(np.abs(found - expected).max() <= _SMALLEST_CHANGE * np.ptp(expected))
