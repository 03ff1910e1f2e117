"""A SavedModel of Keras 2 as a source: its architecture and its weights are read, its graph is never run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from camserve.export.frameworks import keras

from camserve.errors import ExportError, SourceError
from camserve.export.source.architecture import check_architecture
from camserve.export.source.custom_objects import CustomObjects
from camserve.export.source.hdf5 import refusal
from camserve.export.source.keras2 import silence_keras, to_keras_3

__all__ = ["load_saved_model"]

_NETWORKS = ("Functional", "Model", "Sequential")
_LARGEST_METADATA = 64 << 20


def load_saved_model(path: Path, custom: CustomObjects) -> keras.Model:
    """Rebuilds the model from the configuration and the checkpoint in the folder.

    A SavedModel's graph is a program of its author, parts of which run as soon as TensorFlow loads it; so it is not.
    tf_keras builds the network, and an HDF5 file carries it to Keras 3.

    Raises:
        SourceError: If the folder is no SavedModel of a functional or sequential Keras model.
        ExportError: If tf_keras is not installed.
        Exception: Whatever TensorFlow and Keras raise where the content is damaged.
    """
    _check_folder(path)
    architecture = _architecture(path)
    # tf_keras builds it, which knows nothing of the user's own layers and would import a module by its name.
    check_architecture(architecture, CustomObjects(custom.modules, {}), str(path))
    import tf_keras  # noqa: PLC0415  it takes seconds, and few sources need it

    with silence_keras():
        network = tf_keras.models.model_from_json(json.dumps(architecture))
        restored = network.load_weights(str(path / "variables" / "variables"))
        restored.assert_existing_objects_matched()
        restored.expect_partial()  # an optimizer's state is there too
    return to_keras_3(network)


def _check_folder(path: Path) -> None:
    if not (path / "saved_model.pb").is_file():
        raise SourceError(
            f"{path} is a folder, but not a SavedModel: it has no saved_model.pb",
            hint="Give the folder that holds saved_model.pb and keras_metadata.pb, or a .keras or .h5 file",
        )
    if not (path / "keras_metadata.pb").is_file():
        raise SourceError(
            f"the SavedModel {path} holds a function only, not the Keras layers it was made of",
            hint="Export the .keras or .h5 file that it was made from",
        )
    for file in path.rglob("*"):
        if not file.resolve().is_relative_to(path.resolve()):
            raise refusal(f"{file} leads out of the SavedModel: {file.resolve()}")


def _architecture(path: Path) -> dict[str, Any]:
    """The root object's class and configuration, from `keras_metadata.pb`."""
    try:
        from tf_keras.protobuf import saved_metadata_pb2  # noqa: PLC0415
    except ImportError as error:
        raise ExportError(
            "reading a SavedModel needs tf_keras", hint="Install it: pip install 'camserve[export]'"
        ) from error
    file = path / "keras_metadata.pb"
    if file.stat().st_size > _LARGEST_METADATA:
        raise refusal(f"{file} has {file.stat().st_size:,} bytes")
    metadata = saved_metadata_pb2.SavedMetadata.FromString(file.read_bytes())
    roots = [node for node in metadata.nodes if node.node_path == "root"]
    root = json.loads(roots[0].metadata) if roots else {}
    if root.get("class_name") not in _NETWORKS:
        raise SourceError(
            f"the SavedModel {path} holds a {root.get('class_name', 'model')}, which only its own code can rebuild",
            hint="Build it in Python, load its weights there, and pass it to export_model",
        )
    return {"class_name": root["class_name"], "config": root["config"]}
