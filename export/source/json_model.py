"""Loading of an architecture in JSON, as `model.to_json()` returns it; its weights are in another file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from camserve.export.frameworks import keras

from camserve.export.source.application_layers import application_layers
from camserve.export.source.architecture import check_architecture
from camserve.export.source.custom_objects import import_custom_objects, import_custom_objects_of_keras_2
from camserve.export.source.json_architecture import read_architecture
from camserve.export.source.keras2 import build_keras_2
from camserve.export.source.loaded_model import LoadedModel
from camserve.export.source.stored_settings import check_stored_settings

__all__ = ["load_json_model"]

_SEED = 0


def load_json_model(path: Path, modules: Sequence[str], change: Callable[[Any], None]) -> LoadedModel:
    """Build the model of a JSON file, with tf_keras if Keras 2 wrote it.

    Args:
        path: The architecture.
        modules: Dotted names of the modules that define what it uses besides Keras's own classes and functions.
        change: Called with the model, whose weights are random but always the same, to load its weights.

    Raises:
        SourceError: If it is not the architecture of a Keras model, or contains what no network needs.
        ExportError: If Keras 2 wrote it and tf_keras is not installed.
        Exception: Whatever Keras raises if the architecture is damaged.
    """
    architecture = read_architecture(path)
    is_keras_2 = "module" not in architecture or str(architecture.get("keras_version", "")).startswith(("1.", "2."))
    custom = (import_custom_objects_of_keras_2 if is_keras_2 else import_custom_objects)(modules)
    check_architecture(architecture, custom, str(path), operations=is_keras_2)
    keras.utils.set_random_seed(_SEED)
    if is_keras_2:
        return build_keras_2(architecture, custom, change)
    known = {**application_layers(keras), **custom.by_name}
    model = keras.models.model_from_json(json.dumps(architecture), custom_objects=known)
    if isinstance(model, keras.Model):
        check_stored_settings(architecture, model, str(path))
        change(model)
    return LoadedModel(model)
