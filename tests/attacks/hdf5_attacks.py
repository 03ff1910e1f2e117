"""Attacks in HDF5 arrays: external links, external storage and huge sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
from attacks.material import BLOCK, BOMB, CLASSES, Build, network, saved, unpacked

__all__ = ["Replace", "bias_replaced", "external_link", "external_storage", "huge_array", "linked_group", "virtual"]

Replace = Callable[[Any, str, Path], None]


def bias_replaced(name: str, replace: Replace) -> Build:
    """Return the build of a file in which the bias of eight numbers is replaced."""

    def build(folder: Path, canary: Path) -> Path:
        path = saved(folder, network(), name)
        if name.endswith(".keras"):
            inner = folder / "model.weights.h5"
            with unpacked(path) as members:
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
        file.visititems(lambda key, item: found.append(key) if getattr(item, "shape", None) == (CLASSES,) else None)
        (place,) = found
        del file[place]
        replace(file, place, canary)


def external_link(file: Any, place: str, canary: Path) -> None:
    file[place] = h5py.ExternalLink(str(canary), "/secret")


def linked_group(file: Any, place: str, canary: Path) -> None:
    file["elsewhere"] = h5py.ExternalLink(str(canary), "/")
    file[place] = h5py.SoftLink("/elsewhere/secret")


def external_storage(file: Any, place: str, canary: Path) -> None:
    file.create_dataset(place, (CLASSES,), "f4", external=[(str(canary), 0, h5py.h5f.UNLIMITED)])


def virtual(file: Any, place: str, canary: Path) -> None:
    layout = h5py.VirtualLayout((CLASSES,), "f4")
    layout[:] = h5py.VirtualSource(str(canary), "secret", shape=(CLASSES,))
    file.create_virtual_dataset(place, layout)


def huge_array(file: Any, place: str, canary: Path) -> None:
    """Create a compressed array without written chunks, which is read as zeros."""
    file.create_dataset(place, (BOMB * BLOCK // 4,), "f4", chunks=(BLOCK,), compression="gzip")
