"""Attacks in a SavedModel, whose graph runs when it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf
from attacks.architecture_attacks import payload
from attacks.material import CLASSES, new_canary

__all__ = ["keras_2_folder", "tfsm"]


class _WritesWhenLoaded(tf.saved_model.experimental.TrackableResource):  # type: ignore[misc]
    def __init__(self, canary: Path) -> None:
        super().__init__()
        self.canary = tf.constant(str(canary))

    def _create_resource(self) -> Any:
        return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[], shared_name=str(id(self)))

    def _initialize(self) -> None:
        tf.io.write_file(self.canary, "written")


def _graph(folder: Path, canary: Path) -> Path:
    module = tf.Module()
    module.resource = _WritesWhenLoaded(canary)
    module.serve = tf.function(lambda x: x, input_signature=[tf.TensorSpec((None, CLASSES))])
    tf.saved_model.save(module, str(folder / "graph"))
    new_canary(canary)
    return folder / "graph"


def tfsm(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    graph = str(_graph(folder, canary))
    layer.update(module="keras.layers", class_name="TFSMLayer", registered_name=None)
    layer.pop("build_config", None)
    layer["config"] = {"name": "classes", "filepath": graph, "call_endpoint": "serve"}


def keras_2_folder(folder: Path, canary: Path, *, code: bool) -> Path:
    import tf_keras

    parts = [tf_keras.layers.Input((4, 4, 3)), tf_keras.layers.GlobalAveragePooling2D()]
    parts += [tf_keras.layers.Lambda(payload(canary))] if code else []
    model = tf_keras.Sequential([*parts, tf_keras.layers.Dense(CLASSES)])
    if not code:
        model.resource = _WritesWhenLoaded(canary)
    model.save(str(folder / "model"), save_format="tf")
    new_canary(canary)
    return folder / "model"
