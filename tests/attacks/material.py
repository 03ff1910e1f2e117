"""Parts of the attacks: canaries, networks and archives."""

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
        build: Writes the file into a folder, aimed at a canary, and returns its path.
        message: Part of the error message; None if the file is loaded harmlessly.
        vulnerable: What it harms without camserve's checks: `keras`; `keras without its safe mode`; `h5py`, which
            follows links that newer versions of Keras refuse; None if Python's zipfile and json already stop it.
        weights: Whether it is passed as weights.
        memory: Whether the harm is to memory.
        canary: Name of the canary: a file that is written, or a secret that is read.
        custom: Modules that the user passes and trusts.
    """

    build: Build
    message: str | None
    vulnerable: str | None
    weights: bool = False
    memory: bool = False
    canary: str = WRITTEN
    custom: tuple[str, ...] = ()


def new_canary(path: Path) -> None:
    """Create a file that shows whether it is written or read, by its existence or its access time."""
    path.unlink(missing_ok=True)
    if path.name == HDF5_SECRET:
        with h5py.File(path, "w") as file:
            file["secret"] = _SECRET
    elif path.name == RAW_SECRET:
        path.write_bytes(_SECRET.tobytes())
    if path.exists():
        os.utime(path, (1, path.stat().st_mtime))


def is_touched(path: Path) -> bool:
    """Return whether the canary was written or read. File systems record at least the first access after a change."""
    return path.exists() and path.stat().st_atime != 1


def network(*extra: Any) -> keras.Model:
    """Build a classifier of 4x4 pixels, with a bias of eight numbers."""
    return keras.Sequential(
        [layers.Input((4, 4, 3)), *extra, layers.GlobalAveragePooling2D(), layers.Dense(CLASSES, name="classes")]
    )


def saved(folder: Path, model: keras.Model, name: str) -> Path:
    path = folder / name
    model.save_weights(path) if name.endswith(".weights.h5") else model.save(path)
    return path


@contextmanager
def unpacked(path: Path) -> Iterator[dict[str, bytes]]:
    """Yield the members of an archive, and write them back after the block."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    yield members
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
