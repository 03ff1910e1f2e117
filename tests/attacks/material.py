"""What every attack is made of: its canary, the network it hides in, and the archive it is packed into."""

from __future__ import annotations

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
from keras import layers

__all__ = [
    "BLOCK",
    "BOMB",
    "CLASSES",
    "HDF5_SECRET",
    "RAW_SECRET",
    "WRITTEN",
    "Attack",
    "Build",
    "is_touched",
    "network",
    "new_canary",
    "saved",
    "unpacked",
]

BLOCK = 1 << 20
BOMB = 450  # blocks
CLASSES = 8
_SECRET = np.arange(1, CLASSES + 1, dtype=np.float32)
WRITTEN, HDF5_SECRET, RAW_SECRET = "written", "secret.h5", "secret.bin"
Build = Callable[[Path, Path], Path]


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
    canary: str = WRITTEN
    custom: tuple[str, ...] = ()


def new_canary(path: Path) -> None:
    """A file that shows whether it is written or read from now on: by its existence, or by its time of access."""
    path.unlink(missing_ok=True)
    if path.name == HDF5_SECRET:
        with h5py.File(path, "w") as file:
            file["secret"] = _SECRET
    elif path.name == RAW_SECRET:
        path.write_bytes(_SECRET.tobytes())
    if path.exists():
        os.utime(path, (1, path.stat().st_mtime))


def is_touched(path: Path) -> bool:
    """Whether the canary was written or read; file systems note the first access after a change, if not every one."""
    return path.exists() and path.stat().st_atime != 1


def network(*extra: Any) -> keras.Model:
    """A classifier of 4x4 pixels, with a bias of eight numbers."""
    return keras.Sequential(
        [layers.Input((4, 4, 3)), *extra, layers.GlobalAveragePooling2D(), layers.Dense(CLASSES, name="classes")]
    )


def saved(folder: Path, model: keras.Model, name: str) -> Path:
    path = folder / name
    model.save_weights(path) if name.endswith(".weights.h5") else model.save(path)
    return path


@contextmanager
def unpacked(path: Path) -> Iterator[dict[str, bytes]]:
    """The members of an archive, written back after the block."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    yield members
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
