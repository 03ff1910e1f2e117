"""What a source contains: read from its first bytes, because names are often wrong."""

from __future__ import annotations

import contextlib
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from camserve.errors import SourceError
from camserve.text import count, reason

__all__ = [
    "FileKind",
    "check_folder",
    "is_json",
    "model_kind",
    "named",
    "unreadable_file_error",
    "weights_kind",
]

FileKind = Literal["keras", "hdf5", "json"]
"""A `.keras` archive, an HDF5 file, or an architecture in JSON."""

_SUFFIXES = (".keras", ".h5", ".hdf5", ".json")
_READ = 4096
_BY_PATH = ".weights.h5"  # by which Keras tells weights by path from weights by order, which are `.h5` as well
_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_JSON = (b"{", b'"{')  # the second if the text of to_json() was itself written as JSON
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MODEL = "Pass a .keras file, an .h5 file, an architecture in JSON or a SavedModel folder"
_FROM_KERAS = "Pass the Keras model from which it was made: a .keras file, an .h5 file or a SavedModel folder"
_REBUILD = "Build the network in Keras, copy the weights into it, and save it: model.save('model.keras')"
_KERAS_MEMBERS = {"config.json", "metadata.json", "model.weights.h5"}


@dataclass(frozen=True)
class _Other:
    """A kind of file that camserve does not read.

    Attributes:
        starts: How such a file begins, from the offset on.
        what: What it is.
        hint: What to do; `{path}` and `{folder}` are replaced.
        offset: Where `starts` is in the file, in bytes.
    """

    starts: tuple[bytes, ...]
    what: str
    hint: str
    offset: int = 0


_OTHERS = (
    _Other((b"version https://git-lfs",), "a Git LFS pointer, not the file itself", "Fetch the file: git lfs pull"),
    _Other((b"<!doctype html", b"<html"), "a web page", "Download the file itself, not the page about it"),
    _Other((b"<?xml", b"<error"), "an XML document", "Download the file itself, not a server's answer about it"),
    _Other((b"\x1f\x8b",), "compressed with gzip", "Decompress it: gunzip < {path} > model.h5"),
    _Other((b"BZh",), "compressed with bzip2", "Decompress it: bunzip2 < {path} > model.h5"),
    _Other((b"\xfd7zXZ",), "compressed with xz", "Decompress it: unxz < {path} > model.h5"),
    _Other((b"\x28\xb5\x2f\xfd",), "compressed with zstd", "Decompress it: unzstd < {path} > model.h5"),
    _Other((b"ustar",), "a tar archive", "Extract it: tar -xf {path}", offset=257),
    _Other((b"TFL3",), "a TensorFlow Lite model", _FROM_KERAS, offset=4),
    _Other((b'{"',), "a safetensors file, which contains only weights", _REBUILD, offset=8),
    _Other((b"\x93NUMPY",), "a NumPy array, which is weights at most", _REBUILD),
    _Other((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), "a Python pickle or a PyTorch file", _REBUILD),
    _Other((b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*"), "an image", _MODEL),
    _Other((b"%PDF",), "a PDF document", _MODEL),
)
_TABLE_MAGIC = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"  # the end of the index of a TensorFlow checkpoint
_CHECKPOINT = "a TensorFlow checkpoint, which contains only weights"
_CHECKPOINT_HINT = (
    "Load it in Python with Keras 2 and save the whole model: model.load_weights('{path}'); model.save('model.keras')"
)


def model_kind(path: Path) -> FileKind:
    """Return which kind of model file this is.

    Raises:
        SourceError: If it cannot be read, or is of another kind.
    """
    return _kind(path, "model file", _MODEL)


def weights_kind(path: Path) -> FileKind:
    """Return which kind of weights file this is: `keras` or `hdf5`.

    Raises:
        SourceError: If it cannot be read, or is of another kind.
    """
    kind = _kind(path, "weights file", "Pass a .weights.h5, .h5 or .keras file: --weights FILE")
    if kind == "json":
        raise SourceError(
            f"weights file {path} is JSON, which contains no weights",
            hint="Pass a .weights.h5, .h5 or .keras file: --weights FILE",
        )
    return kind


def is_json(path: Path) -> bool:
    """Return whether this is a readable file that begins like JSON."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return _begins_like_json(file.read(_READ))
    except OSError:
        return False


def check_folder(path: Path) -> None:
    """Refuse a folder that is not a SavedModel, and name what it contains instead.

    Raises:
        SourceError: If it contains no `saved_model.pb`.
    """
    names = {entry.name for entry in path.iterdir()}
    if "saved_model.pb" in names:
        return
    models = sorted(name for name in names if Path(name).suffix in (".keras", ".h5", ".hdf5"))
    indexes = sorted(name for name in names if name.endswith(".index"))
    if {"config.json", "model.weights.h5"} <= names:
        what = "contains the members of a .keras archive"
        hint = f"Pass its architecture and weights: {path / 'config.json'} --weights {path / 'model.weights.h5'}"
    elif path.name == "variables" and (path.parent / "saved_model.pb").is_file():
        what, hint = "contains only the weights of a SavedModel", f"Pass the folder that it is in: {path.parent}"
    elif indexes:
        what = f"contains {_CHECKPOINT}"
        hint = _CHECKPOINT_HINT.format(path=path / indexes[0].removesuffix(".index"))
    elif models:
        what, hint = f"contains {count(len(models), 'model file')}", f"Pass the file itself: {path / models[0]}"
    else:
        what = "has no saved_model.pb"
        hint = "Pass the folder that contains saved_model.pb and keras_metadata.pb, or a .keras or .h5 file"
    raise SourceError(f"folder {path} is not a SavedModel: it {what}", hint=hint)


def unreadable_file_error(path: Path, error: OSError) -> SourceError:
    """Return the error for a file that exists and cannot be read."""
    return SourceError(f"cannot read {path}: {reason(error, path)}", hint=f"Check its permissions: ls -l {path}")


@contextlib.contextmanager
def named(path: Path, suffix: str) -> Iterator[Path]:
    """Provide a path to the file with this suffix, from which Keras concludes how to read it."""
    if path.name.endswith(suffix) and path.name.endswith(_BY_PATH) == (suffix == _BY_PATH):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"{path.name}{suffix}"
        link.symlink_to(path.resolve())
        yield link


def _kind(path: Path, role: str, hint: str) -> FileKind:
    if not path.is_file():  # opening a named pipe would block
        raise SourceError(f"{role} {path} is not a regular file", hint="Pass the path of the file itself")
    try:
        with path.open("rb") as file:
            start = file.read(_READ)
            file.seek(max(0, path.stat().st_size - len(_TABLE_MAGIC)))
            end = file.read()
    except OSError as error:
        raise unreadable_file_error(path, error) from None
    if not start:
        raise SourceError(f"{role} {path} is empty", hint="Download or copy the file again")
    kind: FileKind | None = None
    if any(start[offset:].startswith(_HDF5) for offset in (0, 512, 1024, 2048)):
        kind = "hdf5"
    elif start.startswith(_ZIP):
        _check_zip(path, role)
        kind = "keras"
    elif _begins_like_json(start):
        kind = "json"
    if kind is None:
        raise _other_error(path, role, start, end, hint)
    return kind


def _begins_like_json(start: bytes) -> bool:
    return start.removeprefix(_BYTE_ORDER_MARK).lstrip().startswith(_JSON)


def _other_error(path: Path, role: str, start: bytes, end: bytes, hint: str) -> SourceError:
    text = start.lstrip().lower()
    for other in _OTHERS:
        if start[other.offset :].startswith(other.starts) or (not other.offset and text.startswith(other.starts)):
            return SourceError(f"{role} {path} is {other.what}", hint=other.hint.format(path=path))
    if end == _TABLE_MAGIC:
        prefix = str(path).removesuffix(".index")
        return SourceError(f"{role} {path} is {_CHECKPOINT}", hint=_CHECKPOINT_HINT.format(path=prefix))
    if path.suffix == ".onnx":
        return SourceError(f"{role} {path} is an ONNX model", hint=_FROM_KERAS)
    if path.name in ("saved_model.pb", "keras_metadata.pb"):
        return SourceError(f"{role} {path} is part of a SavedModel", hint=f"Pass its folder: {path.resolve().parent}")
    return SourceError(f"{role} {path} is neither a .keras archive nor an HDF5 file", hint=hint)


def _check_zip(path: Path, role: str) -> None:
    """Refuse a ZIP archive of another program; a damaged one is left to the check of `.keras` archives."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return
    if _KERAS_MEMBERS.intersection(names):
        return
    unzip = f"Extract it, and pass the file or folder inside: unzip {path}"
    if any(name.endswith("/data.pkl") for name in names):
        what, hint = "a PyTorch file", _REBUILD
    elif names and all(name.endswith(".npy") for name in names):
        what, hint = "a NumPy archive, which contains only weights", _REBUILD
    elif any(Path(name).name == "saved_model.pb" for name in names):
        what, hint = "a SavedModel in a ZIP archive", unzip
    elif any(Path(name).suffix in _SUFFIXES for name in names):
        what, hint = "a ZIP archive with a model file inside", unzip
    else:
        what, hint = "a ZIP archive without a Keras model", _MODEL
    raise SourceError(f"{role} {path} is {what}", hint=hint)
