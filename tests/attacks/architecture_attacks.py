"""Attacks in the architecture: code, members of other modules, downloads and huge layers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
from attacks.material import Build, network, new_canary, saved, unpacked
from keras import layers

__all__ = [
    "builtin_function",
    "download",
    "huge_layer",
    "lambda_layer",
    "marshalled_activation",
    "payload",
    "planted_in_keras_2",
    "planted_module",
    "shell_class",
    "shell_function",
    "shell_function_under_a_trusted_name",
    "trusted_class_of_a_planted_module",
    "vocabulary",
    "with_config",
]

_OF_KERAS_2 = "_of_keras_2.keras"


def payload(canary: Path) -> Any:
    return eval(
        f"lambda x: (open({str(canary)!r}, 'w').close(), x)[1]"
    )  # eval, so that the lambda does not refer to this module


def lambda_layer(name: str, *, nested: bool = False) -> Build:
    def build(folder: Path, canary: Path) -> Path:
        layer = layers.Lambda(payload(canary))
        if nested:
            layer = keras.Sequential([layers.Input((4, 4, 3)), keras.Sequential([layers.Input((4, 4, 3)), layer])])
        path = saved(folder, network(layer), name)
        new_canary(canary)  # building the network has written it
        return path

    return build


def with_config(change: Callable[[dict[str, Any], Path, Path], None]) -> Build:
    """Return the build of a `.keras` file with a change to the last layer's configuration."""

    def build(folder: Path, canary: Path) -> Path:
        path = saved(folder, network(), "model.keras")
        with unpacked(path) as members:
            config = json.loads(members["config.json"])
            change(config["config"]["layers"][-1], folder, canary)
            members["config.json"] = json.dumps(config).encode()
        return path

    return build


def marshalled_activation(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    function = layers.Lambda(payload(canary)).get_config()["function"]
    layer["config"]["activation"] = {"class_name": "__lambda__", "config": {"value": function["config"]["code"]}}


def shell_class(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    layer.update(module="os", class_name="system", registered_name="system", config={"command": f"touch {canary}"})


def shell_function(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    function = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
    layer["config"]["activation"] = function


def shell_function_under_a_trusted_name(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    shell_function(layer, folder, canary)
    layer["config"]["activation"]["registered_name"] = "Squeeze"


def trusted_class_of_a_planted_module(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    (folder / "planted.py").write_text(f"open({str(canary)!r}, 'w').close()")
    layer.update(module="planted", class_name="Squeeze", registered_name="other>Squeeze")


def planted_in_keras_2(folder: Path, canary: Path) -> Path:
    import tf_keras

    path = folder / f"model{_OF_KERAS_2}"
    tf_keras.Sequential([tf_keras.layers.Input((4, 4, 3)), tf_keras.layers.Flatten()]).save(str(path))
    (folder / "planted_2.py").write_text(f"open({str(canary)!r}, 'w').close()")
    with unpacked(path) as members:
        config = json.loads(members["config.json"])
        config.update(module="planted_2", class_name="Evil", registered_name="Evil")
        members["config.json"] = json.dumps(config).encode()
    return path


def builtin_function(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    function = {"module": "builtins", "class_name": "function", "config": "exec", "registered_name": "exec"}
    layer["config"]["activation"] = function


def planted_module(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    """Write a package next to the model, under a name from which Keras imports."""
    (folder / "keras_cv").mkdir()
    (folder / "keras_cv" / "__init__.py").write_text(f"open({str(canary)!r}, 'w').close()")
    layer.update(module="keras_cv", class_name="Evil", registered_name="Evil")


def download(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    """Add a Lambda layer without a lambda: it names a Keras function that calls others."""
    load = {"module": "keras.datasets.mnist", "class_name": "function", "config": "load_data", "registered_name": None}
    layer.update(module="keras.layers", class_name="Lambda", registered_name=None)
    layer.pop("build_config", None)
    layer["config"] = {
        "name": "classes",
        "function": {"module": "keras.ops", "class_name": "function", "config": "cond", "registered_name": "cond"},
        "arguments": {"true_fn": load, "false_fn": load},
    }


def vocabulary(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    layer.update(module="keras.layers", class_name="StringLookup", registered_name=None)
    layer.pop("build_config", None)
    layer["config"] = {"name": "words", "vocabulary": str(canary)}


def huge_layer(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    layer["config"]["units"] = 10**15
