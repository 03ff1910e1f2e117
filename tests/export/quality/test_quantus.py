"""The values equal those of Quantus, where it is installed (`pip install quantus "numpy<2"`)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from support.networks import enliven, small_network

from camserve.contract import PRESETS
from camserve.export.gate.samples import sample_images
from camserve.export.graph.prepare import prepare
from camserve.export.quality import curves
from camserve.export.quality.pointing import TOLERANCE, is_hit
from camserve.export.quality.randomization import maps_of_other_weights, stages_of
from camserve.export.quality.similarity import rank_correlation
from camserve.pixels import normalize

quantus: Any = pytest.importorskip("quantus")

SIDE, STEPS, COUNT = 8, 16, 5
QUIET: dict[str, Any] = {"disable_warnings": True, "display_progressbar": False}
UNCHANGED: dict[str, Any] = {"abs": False, "normalise": False}


@pytest.fixture(scope="module")
def classifier() -> keras.Model:
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Input((SIDE, SIDE, 1)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]
    return keras.Sequential(layers)


def pixel_flipping(classifier: keras.Model, images: Any, maps: Any, classes: Any) -> Any:
    """Return Quantus's curve of each image after each step, with the pixels of the highest values set to 0 first."""
    metric = quantus.PixelFlipping(features_in_step=SIDE**2 // STEPS, perturb_baseline=0.0, **UNCHANGED, **QUIET)
    return np.array(
        metric(model=classifier, x_batch=images, y_batch=classes, a_batch=maps[:, np.newaxis], channel_first=False)
    )


def test_deletion_and_insertion_equal_pixel_flipping(classifier: keras.Model) -> None:
    random = np.random.default_rng(0)
    images = random.uniform(0.2, 1, (COUNT, SIDE, SIDE, 1)).astype(np.float32)
    maps = random.normal(size=(COUNT, SIDE, SIDE))
    classes = random.integers(0, 3, COUNT)
    deletion = pixel_flipping(classifier, images, maps, classes)
    insertion = pixel_flipping(classifier, images, -maps, classes)[:, ::-1]  # restores what was removed last
    for index, (image, grid, chosen) in enumerate(zip(images, maps, classes, strict=True)):
        order = curves.removal_order(grid, (SIDE, SIDE))
        masks = np.stack([curves.deletion_masks(order, STEPS), curves.insertion_masks(order, STEPS)])

        def score(batch: Any, chosen: int = chosen) -> Any:
            return classifier.predict(batch, verbose=0)[:, chosen]

        found = curves.score_masks(image, np.zeros_like(image), masks, score)
        np.testing.assert_allclose(found[0, 1:], deletion[index], atol=1e-6)
        np.testing.assert_allclose(found[1, :-1], insertion[index], atol=1e-6)
        own = found[0, 1:]
        areas = quantus.helpers.utils.calculate_auc(deletion[index]) / (STEPS - 1), curves.area(own)
        assert areas[0] == pytest.approx(areas[1], abs=1e-6)


def test_hits_equal_the_pointing_game() -> None:
    random = np.random.default_rng(0)
    maps = random.uniform(size=(200, 16, 16))
    centers = np.arange(16) + 0.5
    boxes, masks = [], np.zeros(maps.shape, bool)
    for mask in masks:
        left, top = random.uniform(0, 12, 2)
        right, bottom = left + random.uniform(1, 4), top + random.uniform(1, 4)
        beside = np.maximum(0, np.maximum(left - centers, centers - right))
        above = np.maximum(0, np.maximum(top - centers, centers - bottom))
        mask[:] = np.hypot(above[:, np.newaxis], beside) <= TOLERANCE * 16  # Quantus has no tolerance of its own
        boxes.append(np.array([[left, top, right, bottom]]))
    metric = quantus.PointingGame(**UNCHANGED, **QUIET)
    expected = metric(
        model=None,
        x_batch=maps[..., np.newaxis],
        y_batch=np.zeros(len(maps), int),
        a_batch=maps[:, np.newaxis],
        s_batch=masks[:, np.newaxis],
        channel_first=False,
    )
    found = [is_hit(grid, box, (16, 16)) for grid, box in zip(maps, boxes, strict=True)]
    assert found == [bool(value) for value in expected]
    assert 5 < sum(found) < 100


def test_maps_of_other_weights_correlate_as_little_as_in_mprt() -> None:
    model = enliven(small_network("global-average"), PRESETS["unit"])
    images = normalize(sample_images(4, 16, 16, 3), PRESETS["unit"])
    reference = prepare(model, cam=True, top_k=1, all_classes=False).reference
    outputs = reference(images)
    classes = outputs.logits.argmax(axis=1)
    maps = outputs.maps_of(classes[:, np.newaxis])[:, 0]

    def explain(model: keras.Model, inputs: Any, targets: Any, **kwargs: Any) -> Any:
        own = prepare(model, cam=True, top_k=1, all_classes=False).reference(images)  # one batch of all
        found = own.maps_of(np.asarray(targets)[:, np.newaxis])
        return found.repeat(2, axis=2).repeat(2, axis=3)  # Quantus expects the size of the images; ranks stay the same

    metric = quantus.MPRT(
        similarity_func=quantus.correlation_spearman, layer_order="top_down", **UNCHANGED, **QUIET, seed=1
    )
    by_layer = metric(model=model, x_batch=images, y_batch=classes, explain_func=explain, channel_first=False)
    theirs = float(np.mean(by_layer[list(by_layer)[-1]]))
    others = maps_of_other_weights(reference, stages_of(reference)[-1], images, classes, 0)
    pairs = list(zip(maps, others, strict=True))
    ours = [rank_correlation(*pair) for pair in pairs]
    assert ours == pytest.approx([quantus.correlation_spearman(*(each.ravel() for each in pair)) for pair in pairs])
    assert max(abs(theirs), abs(float(np.mean(ours)))) < 0.75
