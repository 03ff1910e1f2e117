"""The maps of a network with other weights: a map that does not depend on the weights explains nothing.

The weights of each tensor are shuffled among themselves, so that their distribution remains, from the head down to the
first layer.

Source: Adebayo et al. 2018, "Sanity Checks for Saliency Maps", section 3.1 (cascading randomization).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from camserve.export.frameworks import keras

import numpy as np
import numpy.typing as npt

from camserve.export.graph.gradient_head import find_head
from camserve.export.graph.network import is_layer
from camserve.export.graph.reference import KerasReference

__all__ = ["Stage", "kept_layers", "maps_of_other_weights", "stages_of"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Stage:
    """The layers whose weights are shuffled.

    Attributes:
        name: Which they are: `head`, `last half` or `all`.
        layers: The layers.
    """

    name: str
    layers: tuple[Any, ...]


def stages_of(reference: KerasReference) -> tuple[Stage, ...]:
    """Return the head, that with the last half of the layers before it, and all layers, of those with weights.

    Args:
        reference: A network with a head.
    """
    layers = [layer for layer in reference.network.layers if _weights_of(layer)]
    after = reference.network.after(reference.head.features) if reference.head else ()
    in_head = {id(step.operation) for step in after if is_layer(step.operation)}
    head = tuple(layer for layer in layers if id(layer) in in_head)
    before = [layer for layer in layers if id(layer) not in in_head]
    half = (*before[len(before) // 2 :], *head)
    stages = (Stage("head", head), Stage("last half", half), Stage("all", (*before, *head)))
    sizes = [len(stage.layers) for stage in stages]
    return tuple(stage for place, stage in enumerate(stages) if sizes[place] > max([0, *sizes[:place]]))


def kept_layers(reference: KerasReference) -> tuple[str, ...]:
    """Return the names of the layers whose weights cannot be replaced: those that tf_keras runs."""
    return tuple(layer.name for layer in reference.network.layers if layer.weights and not _is_of_keras_3(layer))


def maps_of_other_weights(
    reference: KerasReference, stage: Stage, images: npt.NDArray[np.float32], classes: npt.NDArray[np.int64], seed: int
) -> Array:
    """Return the maps of a network in which the weights of some layers are shuffled; the network is not changed.

    Args:
        reference: The network.
        stage: The layers.
        images: Preprocessed images, `[batch, height, width, channels]`.
        classes: The class of each map, `[batch]`.
        seed: Seed of the shuffling.

    Returns:
        `[batch, rows, columns]`; not finite where values overflow.
    """
    random = np.random.default_rng(seed)
    weights = [(weight, _shuffled(weight, random)) for layer in stage.layers for weight in _weights_of(layer)]
    with keras.StatelessScope(state_mapping=weights), np.errstate(all="ignore"):
        head = find_head(reference.network, reference.logits)
        outputs = replace(reference, head=head)(images)
        return outputs.maps_of(classes[:, np.newaxis])[:, 0]


def _weights_of(layer: Any) -> list[Any]:
    """Return the weights that can be replaced by others: variables of several floating point values."""
    if not _is_of_keras_3(layer):
        return []
    return [each for each in layer.weights if "float" in str(each.dtype) and int(np.prod(each.shape)) > 1]


def _is_of_keras_3(layer: Any) -> bool:
    return all(isinstance(weight, keras.Variable) for weight in layer.weights)


def _shuffled(weight: Any, random: np.random.Generator) -> Any:
    values = random.permutation(np.asarray(weight).ravel()).reshape(weight.shape)
    return keras.ops.convert_to_tensor(values, weight.dtype)
