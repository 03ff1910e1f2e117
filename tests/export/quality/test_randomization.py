"""Maps of other weights differ, except those of a network that ignores its weights; the network is not changed."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from support.networks import enliven, small_network

from camserve.contract import PRESETS
from camserve.export.gate.samples import sample_images
from camserve.export.graph.prepare import prepare
from camserve.export.graph.reference import KerasReference
from camserve.export.quality.randomization import maps_of_other_weights, stages_of
from camserve.export.quality.similarity import rank_correlation
from camserve.pixels import normalize

IMAGES = normalize(sample_images(6, 16, 16, 3), PRESETS["unit"])


def reference_of(model: keras.Model) -> KerasReference:
    return prepare(model, cam=True, top_k=1, all_classes=False).reference


def correlations(reference: KerasReference) -> list[float]:
    """Return the mean rank correlation with the maps of shuffled weights, for each stage."""
    outputs = reference(IMAGES)
    classes = outputs.logits.argmax(axis=1)
    maps = outputs.maps_of(classes[:, np.newaxis])[:, 0]
    found = []
    for stage in stages_of(reference):
        others = [maps_of_other_weights(reference, stage, IMAGES, classes, seed) for seed in range(3)]
        pairs = [pair for other in others for pair in zip(maps, other, strict=True)]
        found.append(float(np.mean([rank_correlation(*pair) for pair in pairs])))
    return found


@pytest.mark.parametrize("pooling", ["average", "global-average", "hidden"])
def test_maps_of_other_weights_are_other_maps(pooling: str) -> None:
    model = small_network("global-average") if pooling == "hidden" else small_network(pooling)
    if pooling == "hidden":
        features = model.get_layer("features").output
        x = layers.Dense(8, "relu")(layers.GlobalMaxPooling2D()(features))
        model = keras.Model(model.input, layers.Dense(6)(x))
    reference = reference_of(enliven(model, PRESETS["unit"]))
    assert [stage.name for stage in stages_of(reference)] == ["head", "last half", "all"]
    assert max(map(abs, correlations(reference))) < 0.7


def test_maps_that_emphasize_one_place_do_not_change() -> None:
    image = layers.Input((16, 16, 3))
    down = np.abs(np.linspace(-1, 1, 8))
    place = np.exp(-8 * (down[:, np.newaxis] ** 2 + down**2))[np.newaxis, :, :, np.newaxis].astype(np.float32)
    x = layers.GlobalAveragePooling2D()(layers.AveragePooling2D(2)(layers.Conv2D(4, 1)(image)) * place)
    model = keras.Model(image, layers.Dense(3, "softmax")(x))
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([np.random.default_rng(0).uniform(0.5, 1, each.shape) for each in layer.weights])
    assert min(correlations(reference_of(model))) > 0.9


def test_network_keeps_its_weights() -> None:
    model: Any = enliven(small_network(), PRESETS["unit"])
    reference = reference_of(model)
    before, answers = model.get_weights(), reference(IMAGES).logits
    last = stages_of(reference)[-1]
    others = [maps_of_other_weights(reference, last, IMAGES, np.zeros(6, np.int64), seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(others[0], others[1])
    assert not np.allclose(others[0], others[2])
    for weight, again in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, again)
    np.testing.assert_array_equal(reference(IMAGES).logits, answers)
