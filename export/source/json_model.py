"""Loading of an architecture in JSON, as `model.to_json()` returns it, with its weights from another file."""

from __future__ import annotations

import json
from pathlib import Path

from camserve.export.frameworks import keras

from camserve.export.source.architecture import check_architecture
from camserve.export.source.custom_objects import CustomObjects
from camserve.export.source.json_architecture import read_architecture
from camserve.export.source.keras2 import import_tf_keras, silence_keras, to_keras_3
from camserve.export.source.keras2_custom import make_adapters
from camserve.export.source.loaded_model import LoadedModel
from camserve.export.source.stored_settings import check_stored_settings
from camserve.export.source.weights import load_weights

__all__ = ["load_json_model"]

_SEED = 0


def load_json_model(path: Path, weights: Path | None, custom: CustomObjects) -> LoadedModel:
    """Build the model of a JSON file and load its weights, with tf_keras if Keras 2 wrote it.

    Args:
        path: The architecture.
        weights: The weights file; None for random weights, which are always the same.
        custom: What the architecture may name besides Keras's own classes and functions.

    Raises:
        SourceError: If it is not the architecture of a Keras model, contains what no network needs, or the weights do
            not fit.
        ExportError: If Keras 2 wrote it and tf_keras is not installed.
        Exception: Whatever Keras raises if the architecture is damaged.
    """
    architecture = read_architecture(path)
    is_keras_2 = "module" not in architecture or str(architecture.get("keras_version", "")).startswith(("1.", "2."))
    check_architecture(architecture, custom, str(path), operations=is_keras_2)
    keras.utils.set_random_seed(_SEED)
    if is_keras_2:
        tf_keras = import_tf_keras()
        with silence_keras():
            network = tf_keras.models.model_from_json(json.dumps(architecture), custom_objects=make_adapters(custom))
            if weights is not None:
                load_weights(network, weights, str(path))
            return to_keras_3(network)
    model = keras.models.model_from_json(json.dumps(architecture), custom_objects=dict(custom.by_name))
    check_stored_settings(architecture, model, str(path))
    if weights is not None:
        load_weights(model, weights, str(path))
    return LoadedModel(model)
