"""Loading of a Keras 2 SavedModel: its architecture and weights are read, and its graph is never run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from camserve.errors import SourceError
from camserve.export.source.application_layers import application_layers
from camserve.export.source.architecture import check_architecture
from camserve.export.source.custom_objects import CustomObjects
from camserve.export.source.keras2 import silence_keras, to_keras_3
from camserve.export.source.keras2_imports import import_tf_keras
from camserve.export.source.limits import suspicious_file_error
from camserve.export.source.loaded_model import LoadedModel

__all__ = ["load_saved_model"]

_NETWORKS = ("Functional", "Model", "Sequential")
_MAX_METADATA = 64 << 20  # bytes


def load_saved_model(path: Path, custom: CustomObjects, change: Callable[[Any], None] = lambda _: None) -> LoadedModel:
    """Rebuild the model from the configuration and the checkpoint in a SavedModel folder.

    The graph of a SavedModel is a program, parts of which run as soon as TensorFlow loads it, so it is not loaded.
    tf_keras builds the network, which is then converted to Keras 3.

    Args:
        path: The folder.
        custom: The user's own layers and functions, of tf_keras.
        change: Called with the model of tf_keras before it is converted, e.g. to load other weights.

    Raises:
        SourceError: If the folder is not a SavedModel of a functional or sequential Keras model.
        ExportError: If tf_keras is not installed.
        Exception: Whatever TensorFlow and Keras raise if the content is damaged.
    """
    _check_folder(path)
    architecture = _architecture(path)
    check_architecture(architecture, custom, str(path), operations=True)
    tf_keras = import_tf_keras()
    known = {**application_layers(tf_keras), **custom.by_name}
    with silence_keras():
        network = tf_keras.models.model_from_json(json.dumps(architecture), custom_objects=known)
        restored = network.load_weights(str(path / "variables" / "variables"))
        restored.assert_existing_objects_matched()
        restored.expect_partial()  # the optimizer's state is not loaded
        change(network)
    return to_keras_3(network)


def _check_folder(path: Path) -> None:
    if not (path / "keras_metadata.pb").is_file():
        raise SourceError(
            f"SavedModel {path} contains only a function, without the Keras layers",
            hint="Export the .keras or .h5 file from which it was made",
        )
    for file in path.rglob("*"):
        if not file.resolve().is_relative_to(path.resolve()):
            raise suspicious_file_error(f"SavedModel {path} contains a link to a file outside it: {file}")


def _architecture(path: Path) -> dict[str, Any]:
    """Return the root object's class and configuration, from `keras_metadata.pb`."""
    import_tf_keras()
    from tf_keras.protobuf import saved_metadata_pb2  # noqa: PLC0415  has no other way to be imported

    file = path / "keras_metadata.pb"
    if file.stat().st_size > _MAX_METADATA:
        raise suspicious_file_error(f"{file} has {file.stat().st_size:,} bytes; the limit is {_MAX_METADATA:,}")
    metadata = saved_metadata_pb2.SavedMetadata.FromString(file.read_bytes())
    roots = [node for node in metadata.nodes if node.node_path == "root"]
    root = json.loads(roots[0].metadata) if roots else {}
    if root.get("class_name") not in _NETWORKS:
        raise SourceError(
            f"SavedModel {path} contains a {root.get('class_name', 'model')}, which only its own code can rebuild",
            hint="Wrap its layers in a functional model in Python (keras.Input, then one layer after the other), save "
            "it and export that",
        )
    return {"class_name": root["class_name"], "config": root["config"]}
