"""Measure how good the maps of an export are."""

from __future__ import annotations

from dataclasses import dataclass

from camserve.export.frameworks import keras  # noqa: F401  prepares the environment of the frameworks

import numpy as np
import numpy.typing as npt

from camserve.answer_differences import cosines
from camserve.contract import ModelContract
from camserve.export.formats.runner import Runner
from camserve.export.graph.reference import KerasReference
from camserve.export.quality import curves, pointing
from camserve.export.quality.images import QualityImages, spread
from camserve.export.quality.randomization import kept_layers, maps_of_other_weights, stages_of
from camserve.export.quality.results import Curves, MapQuality, Pointing, Randomized
from camserve.export.quality.scores import score_of_class
from camserve.export.quality.similarity import rank_correlation
from camserve.pixels import graph_input, normalize
from camserve.progress import Progress
from camserve.tensors import CAM, CAM_CLASS
from camserve.text import count

__all__ = ["measure_quality"]

_STEPS = 14
_CURVE_IMAGES = 16
_RANDOM_MAPS = 3
_RANDOMIZED_IMAGES = 8
_SEEDS = 3
_BATCH = 8


@dataclass(frozen=True, eq=False)
class _Maps:
    """Maps of some classes of images.

    Attributes:
        classes: The class of each map, `[images, maps]`: the best ones according to the export.
        keras: The maps of Keras, `[images, maps, rows, columns]`.
        export: Those of the export.
    """

    classes: npt.NDArray[np.int64]
    keras: npt.NDArray[np.float64]
    export: npt.NDArray[np.float64]


def measure_quality(
    reference: KerasReference, contract: ModelContract, run: Runner, images: QualityImages, progress: Progress
) -> MapQuality:
    """Measure the maps of Keras and of an exported file.

    Args:
        reference: The network in Keras.
        contract: The contract of the export.
        run: Runs the file.
        images: The images.
        progress: Called with the name of each phase as it begins.

    Raises:
        ExportError: If the file returns probabilities that are not finite.
    """
    chosen = np.array(spread(range(len(images.pixels)), _CURVE_IMAGES))
    progress(f"measure the maps of {count(len(chosen), 'image')}: deletion and insertion")
    measured = _curves(images.pixels[chosen], reference, contract, run)
    chosen = chosen[:: -(-len(chosen) // _RANDOMIZED_IMAGES)]
    progress(f"measure the maps of {count(len(chosen), 'image')}: other weights")
    randomized = _randomized(images.pixels[chosen], reference, contract)
    pointed = None
    if images.kind == "boxes":
        progress(f"measure the maps of {count(len(images.pixels), 'image')}: pointing game")
        pointed = _pointing(images, reference, contract, run)
    return MapQuality(images.kind, len(images.pixels), measured, randomized, kept_layers(reference), pointed)


def _curves(pixels: npt.NDArray[np.uint8], reference: KerasReference, contract: ModelContract, run: Runner) -> Curves:
    """Score every image while the pixels of each map are removed and inserted; the export's best class of each."""
    size = (contract.height, contract.width)
    maps = _maps(pixels, reference, contract, run)
    deletion, insertion, random = [], [], []
    for index, image in enumerate(pixels):
        own = [curves.removal_order(each[index, 0], size) for each in (maps.keras, maps.export)]
        grids = (curves.random_grid(maps.keras.shape[2:], _RANDOM_MAPS * index + seed) for seed in range(_RANDOM_MAPS))
        masks = [
            *(curves.deletion_masks(order, _STEPS) for order in own),
            *(curves.insertion_masks(order, _STEPS) for order in own),
            *(curves.deletion_masks(curves.removal_order(grid, size), _STEPS) for grid in grids),
        ]
        score = score_of_class(run, contract, int(maps.classes[index, 0]))
        scores = curves.score_masks(image, curves.blurred(image), np.stack(masks), score)
        deletion.append(scores[:2])
        insertion.append(scores[2:4])
        random.append(scores[4:])
    return Curves(np.stack(deletion, axis=1), np.stack(insertion, axis=1), np.stack(random))


def _randomized(
    pixels: npt.NDArray[np.uint8], reference: KerasReference, contract: ModelContract
) -> tuple[Randomized, ...]:
    """Compare the maps of each image's best class according to Keras with those of networks with other weights."""
    images = normalize(pixels, contract.preprocessing)
    outputs = reference(images)
    classes = outputs.logits.argmax(axis=1)
    maps = outputs.maps_of(classes[:, np.newaxis])[:, 0]
    results = []
    for stage in stages_of(reference):
        others = [maps_of_other_weights(reference, stage, images, classes, seed) for seed in range(_SEEDS)]
        ranks = np.array([[rank_correlation(*pair) for pair in zip(other, maps, strict=True)] for other in others])
        with np.errstate(all="ignore"):  # values that are not finite have no rank either
            found = np.array([cosines(each, maps) for each in others])
        results.append(Randomized(stage.name, len(stage.layers), ranks, found))
    return tuple(results)


def _pointing(images: QualityImages, reference: KerasReference, contract: ModelContract, run: Runner) -> Pointing:
    """Play the pointing game with each class of which an image has objects and the export returns a map."""
    size = (contract.height, contract.width)
    maps = _maps(images.pixels, reference, contract, run)
    hits: list[tuple[bool, bool]] = []
    chances: list[float] = []
    for each in images.objects:
        ranks = np.flatnonzero(maps.classes[each.image] == each.class_number)
        if ranks.size:
            grids = (maps.keras[each.image, ranks[0]], maps.export[each.image, ranks[0]])
            hits.append((pointing.is_hit(grids[0], each.boxes, size), pointing.is_hit(grids[1], each.boxes, size)))
            chances.append(pointing.chance(grids[0].shape, each.boxes, size))
    keras_hits, export_hits = (sum(column) for column in zip(*hits, strict=True)) if hits else (0, 0)
    chance = float(np.mean(chances)) if chances else None
    return Pointing(
        played=len(hits),
        keras=keras_hits,
        export=export_hits,
        chance=chance,
        without_map=len(images.objects) - len(hits),
        outside=images.outside,
        unread=images.unread,
    )


def _maps(pixels: npt.NDArray[np.uint8], reference: KerasReference, contract: ModelContract, run: Runner) -> _Maps:
    """Return the maps of the classes that the export returns maps of."""
    classes, keras_maps, export_maps = [], [], []
    for begin in range(0, len(pixels), _BATCH):
        batch = pixels[begin : begin + _BATCH]
        outputs = run(graph_input(batch, contract.preprocessing))
        classes.append(np.asarray(outputs[CAM_CLASS], np.int64))
        export_maps.append(np.asarray(outputs[CAM], np.float64))
        keras_maps.append(reference(normalize(batch, contract.preprocessing)).maps_of(classes[-1]))
    return _Maps(np.concatenate(classes), np.concatenate(keras_maps), np.concatenate(export_maps))
