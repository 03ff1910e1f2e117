"""Sources are read by what they contain; every other kind of file is named in the error."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from camserve.errors import SourceError
from camserve.export.source.checks import check_source
from camserve.export.source.load import load_source

IMAGES = np.random.default_rng(4).normal(size=(2, 8, 8, 3)).astype(np.float32)


def network(classes: int = 3) -> keras.Model:
    image = layers.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(layers.Conv2D(4, 3, name="conv")(image)))
    return keras.Model(image, layers.Dense(classes, "softmax", name="classes")(x), name="own")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    model = network()
    model.save(folder / "model.keras")
    model.save(folder / "model.h5")
    model.save_weights(folder / "own.weights.h5")
    return folder


def zipped(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    return stream.getvalue()


def tarred() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.keras"))
    return stream.getvalue()


OTHERS: dict[str, tuple[bytes, str, str]] = {
    "empty.keras": (b"", "is empty", "Download"),
    "lfs.h5": (b"version https://git-lfs.github.com/spec/v1\noid", "is a Git LFS pointer", "git lfs pull"),
    "page.keras": (b"\n <!DOCTYPE html><html>", "is a web page", "Download the file itself"),
    "denied.h5": (b"<?xml version='1.0'?><Error>", "is an XML document", "Download the file itself"),
    "packed.h5": (gzip.compress(b"content"), "is compressed with gzip", "gunzip < {path} > model.h5"),
    "packed.keras": (tarred(), "is a tar archive", "tar -xf {path}"),
    "net.pt": (zipped("net/data.pkl"), "is a PyTorch file", "model.save("),
    "old.pt": (b"\x80\x02}q", "is a Python pickle or a PyTorch file", "model.save("),
    "net.onnx": (b"\x08\x08\x12\x07pytorch", "is an ONNX model", "Pass the Keras model"),
    "net.tflite": (b"\x1c\0\0\0TFL3", "is a TensorFlow Lite model", "Pass the Keras model"),
    "weights.npz": (zipped("a.npy", "b.npy"), "contains only weights", "model.save("),
    "w.safetensors": ((9).to_bytes(8, "little") + b'{"a": {}}', "contains only weights", "model.save("),
    "net.zip": (zipped("net/saved_model.pb"), "is a SavedModel in a ZIP archive", "unzip {path}"),
    "model.zip": (zipped("a/model.h5"), "with a model file inside", "unzip {path}"),
    "other.keras": (zipped("readme.txt"), "is a ZIP archive without a Keras model", "Pass a .keras file"),
    "cat.jpg": (b"\xff\xd8\xff", "is an image", "Pass a .keras file"),
    "notes.txt": (b"hello", "is neither a .keras archive nor an HDF5 file", "Pass a .keras file"),
    "ckpt.index": (b"x" * 99 + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb", "TensorFlow checkpoint", "load_weights('{stem}')"),
    "saved_model.pb": (b"\x08\x01", "is part of a SavedModel", "Pass its folder: {folder}"),
    "half.h5": (b"\x89HDF\r\n\x1a\n", "is not an HDF5 file, or it is truncated", "Download"),
    "classes.json": (b'{"cat": 0}', "is JSON, but not the architecture of a Keras model", "model.to_json()"),
    "tfjs.json": (b'{"modelTopology": {}}', "is a model for TensorFlow.js", "tensorflowjs_converter"),
    "deep.json": (b'{"a":' * 100_000, "is not valid JSON, or it is truncated", "model.to_json()"),
    "half.json": (b'{"class_name": "Fun', "is not valid JSON, or it is truncated", "model.to_json()"),
}


def refused(source: Any, weights: str | None = None) -> SourceError:
    """Return the error for a source, which must be the same before and after the frameworks are loaded."""
    with pytest.raises(SourceError) as early:
        check_source(source, weights, sha256=None, custom_objects=())
    with pytest.raises(SourceError) as late:
        load_source(source, weights)
    assert str(late.value) == str(early.value)
    return early.value


@pytest.mark.parametrize("name", OTHERS)
def test_other_kind_of_file_is_named(name: str, tmp_path: Path) -> None:
    content, message, hint = OTHERS[name]
    path = tmp_path / name
    path.write_bytes(content)
    error = refused(path)
    assert str(path) in error.message
    assert message in error.message
    assert hint.format(path=path, folder=tmp_path, stem=str(path).removesuffix(".index")) in str(error.hint)


def test_unreadable_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.keras").write_bytes(b"PK\x03\x04")

    def denied(self: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", denied)  # root may read everything
    error = refused(tmp_path / "model.keras")
    assert "model.keras: Permission denied" in error.message


@pytest.mark.parametrize(
    ("names", "message", "hint"),
    [
        ((), "has no saved_model.pb", "that contains saved_model.pb"),
        (("model.keras",), "contains 1 model file", "Pass the file itself: {folder}/model.keras"),
        (("config.json", "model.weights.h5"), "members of a .keras", "{folder}/config.json --weights {folder}/model.w"),
        (("ckpt.index", "checkpoint"), "contains a TensorFlow checkpoint", "load_weights('{folder}/ckpt')"),
    ],
)
def test_other_folder_is_named(names: tuple[str, ...], message: str, hint: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).touch()
    error = refused(tmp_path)
    assert message in error.message
    assert hint.format(folder=tmp_path) in str(error.hint)


def test_prefix_of_a_checkpoint_is_recognized(tmp_path: Path) -> None:
    (tmp_path / "ckpt.index").write_bytes(OTHERS["ckpt.index"][0])
    for error in (refused(tmp_path / "ckpt"), refused("resnet-mini", str(tmp_path / "ckpt"))):
        assert "is a TensorFlow checkpoint" in error.message


@pytest.mark.parametrize(
    ("name", "renamed"),
    [("model.keras", "a.h5"), ("model.h5", "a.keras"), ("model.h5", "a"), ("model.h5", "a.weights.h5")],
)
def test_model_is_loaded_under_any_name(name: str, renamed: str, files: Path, tmp_path: Path) -> None:
    os.link(files / name, tmp_path / renamed)
    expected = load_source(files / name).model(IMAGES)
    np.testing.assert_array_equal(load_source(tmp_path / renamed).model(IMAGES), expected)


def test_weights_alone_name_the_command(tmp_path: Path) -> None:
    import tf_keras

    model = network(7)
    model.save_weights(tmp_path / "new.weights.h5")
    old = tf_keras.Sequential([tf_keras.layers.Input((4,)), tf_keras.layers.Dense(7)])
    old.save_weights(tmp_path / "old.h5")
    nested = keras.Sequential([model, layers.Dense(5)])
    nested.save_weights(tmp_path / "nested.weights.h5")
    for name, count in (("new.weights.h5", "3 layers"), ("old.h5", "1 layer")):
        error = refused(tmp_path / name)
        assert f"contains only the weights of {count}, without the network" in error.message
        assert f"camserve export keras:NAME --weights {tmp_path / name} --classes 7" in str(error.hint)
    error = refused(tmp_path / "nested.weights.h5")
    assert "keras:NAME" not in str(error.hint)
    assert "camserve export model.json --weights" in str(error.hint)
